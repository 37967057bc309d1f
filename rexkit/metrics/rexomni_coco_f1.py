"""The figures of the public Rex-Omni evaluation on COCO and LVIS."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from rexkit.errors import ConfigError
from rexkit.formats.coco import read_coco
from rexkit.metrics.fast_evaluation import CategoryImage, category_curve, mean_curves
from rexkit.metrics.metric import Metric, State
from rexkit.registry import METRICS
from rexkit.structures import Annotation, Prediction

MAX_PREDICTIONS = 100
"""The most predictions per category and image that COCO compares; LVIS has no limit."""


@METRICS.register_module()
class RexOmniCocoF1(Metric):
    """Compute precision, recall and F1 of COCO or LVIS as the public Rex-Omni evaluation does.

    Source: evaluation/utils/convert_coco_lvis_to_standard_format.py, metrics/coco_lvis_metric.py
    and fastevaluate in the repository IDEA-Research/Rex-Omni. The rules differ from `CocoAP` and
    `BoxF1`:

    - The ground truth is the annotation file with all its images, those without a prediction too.
    - Predictions of categories that the file does not have in the image are left out, so that they
      cost nothing.
    - Precision is the best one at the highest recall level, mean over the categories; see
      `rexkit.metrics.fast_evaluation` for categories without a match.

    Values: ``rexomni_coco_precision``, ``rexomni_coco_recall`` and ``rexomni_coco_f1``, each with
    ``@0.5``, ``@0.95`` and ``@0.5:0.95``. F1 is that of the mean precision and mean recall.

    Args:
        ann_file: COCO's or LVIS's annotation file. Images are found in it by the name of their
            file, so the dataset must keep ``image_path``, as `RexOmniEvalDataset` does.
        lvis: whether the file is LVIS's: no crowds, no limit of predictions, and no false positives
            of categories that are not annotated exhaustively.

    Raises:
        FileNotFoundError: ``ann_file`` is missing.
        DataError: it is no COCO JSON.
    """

    def __init__(self, ann_file: str | os.PathLike[str], lvis: bool = False):
        self.ann_file, self.lvis = Path(ann_file), lvis
        if not self.ann_file.is_file():
            raise FileNotFoundError(
                f"there is no file {ann_file}; RexOmniCocoF1 needs the annotations of the images"
            )
        self._found: dict[str, dict[str, list[list[float]]]] = {}

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image.

        Raises:
            ConfigError: the dataset does not keep ``image_path``.
        """
        path = target.extra.get("image_path")
        if not path:
            raise ConfigError(
                "RexOmniCocoF1 needs the name of each image: use it with RexOmniEvalDataset"
            )
        found: dict[str, list[list[float]]] = {}
        for instance in prediction.instances:
            if instance.bbox is not None:
                found.setdefault(instance.phrase, []).append(instance.bbox.tolist())
        self._found[PurePath(path).name] = found

    def compute(self) -> dict[str, float]:
        """Return the values over all images of the annotation file."""
        data = read_coco(self.ann_file)
        targets: dict[int, dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        for row in data["annotations"]:
            targets[row["category_id"]][row["image_id"]].append(row)
        predictions = self._by_category(data)
        curves = []
        for category in data["categories"]:
            true, found = targets[category["id"]], predictions[category["id"]]
            images = [
                self._image(true.get(i["id"], []), found.get(i["id"], []), i, category["id"])
                for i in data["images"]
                if i["id"] in true or i["id"] in found
            ]
            curves.append(category_curve(images))
        return {f"rexomni_coco_{name}": value for name, value in mean_curves(curves).items()}

    def state(self) -> State:
        """Return everything that was added, for `absorb`."""
        return {"found": np.frombuffer(json.dumps(self._found).encode(), dtype=np.uint8)}

    def absorb(self, state: State) -> None:
        """Add everything that another metric was given."""
        self._found |= json.loads(state["found"].tobytes())

    def _by_category(self, data: dict[str, list[dict[str, Any]]]) -> Any:
        """Return the predicted boxes by category and image, without those of absent categories."""
        ids = {_spelling(category["name"]): category["id"] for category in data["categories"]}
        present: dict[int, set[int]] = defaultdict(set)
        for row in data["annotations"]:
            present[row["image_id"]].add(row["category_id"])
        negatives = {
            image["id"]: set(image.get("neg_category_ids", ())) for image in data["images"]
        }
        images = {PurePath(image["file_name"]).name: image["id"] for image in data["images"]}
        if unknown := [name for name in self._found if name not in images]:
            raise ConfigError(f"{self.ann_file} has no image {unknown[0]!r}, which was tested")
        boxes: dict[int, dict[int, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
        for name, found in self._found.items():
            image = images[name]
            allowed = present.get(image)
            if allowed is None and self.lvis:
                allowed = negatives[image]
            for phrase, items in found.items():
                category = ids.get(_spelling(phrase))
                if category is not None and (allowed is None or category in allowed):
                    boxes[category][image] += items
        return boxes

    def _image(
        self,
        true: list[dict[str, Any]],
        found: list[list[float]],
        image: dict[str, Any],
        category: int,
    ) -> CategoryImage:
        crowd = [bool(row.get("iscrowd", 0)) and not self.lvis for row in true]
        predictions = np.array(found, dtype=np.float64).reshape(-1, 4)
        predictions[:, 2:] -= predictions[:, :2]
        return CategoryImage(
            np.array([row["bbox"] for row in true], dtype=np.float64).reshape(-1, 4),
            np.array(crowd, dtype=np.bool_),
            predictions[: None if self.lvis else MAX_PREDICTIONS],
            exhaustive=not self.lvis
            or category not in image.get("not_exhaustive_category_ids", ()),
        )


def _spelling(phrase: str) -> str:
    return phrase.lower().replace("_", " ")
