"""The figures of COCO and LVIS, by the public scripts and by `RexOmniCocoF1`.

The public ones come from a C++ extension, which is compiled for the comparison.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from benchmarks.fidelity.public_evaluation import load_module, quiet, run_script
from rexkit.metrics import RexOmniCocoF1
from rexkit.structures import Annotation, Instance, Prediction

SIZE = (400, 300)
CATEGORIES = ("person", "hot dog", "Traffic_Light", "sink", "vase", "bus", "kite", "cup")

Record = dict[str, Any]


def drawn_coco_set(folder: Path, lvis: bool, number: int, seed: int) -> tuple[Path, list[Record]]:
    """Write an annotation file, and return it with public records of predictions.

    Args:
        folder: where it is written.
        lvis: whether it is LVIS's, with negative and not exhaustive categories, or COCO's, with
            crowds.
        number: of images.
        seed: of everything.
    """
    rng = Random(f"coco {lvis} {seed}")
    categories = [
        {"id": 3 * k + 1, "name": name, "frequency": "rcf"[k % 3]}
        for k, name in enumerate(CATEGORIES)
    ]
    images: list[Record] = []
    annotations: list[Record] = []
    records: list[Record] = []
    for index in range(number):
        # Not in the order of their numbers, as in COCO's file.
        image: Record = {"id": (index * 37) % 1009 + 1, "file_name": f"{index:06}.jpg"}
        image |= {"width": SIZE[0], "height": SIZE[1]}
        found: dict[str, list[list[float]]] = {}
        # The last two are in no image; one of them is never predicted.
        for k in range(len(CATEGORIES) - 1):
            name = CATEGORIES[k].lower() if rng.random() < 0.5 else CATEGORIES[k].replace("_", " ")
            present = k < len(CATEGORIES) - 2 and rng.random() < 0.5
            for _ in range(1 + int(rng.random() * 4) if present else 0):
                box = _box(rng)
                crowd = int(not lvis and rng.random() < 0.1)
                row = {"id": len(annotations) + 1, "image_id": image["id"], "iscrowd": crowd}
                row |= {"bbox": box, "area": box[2] * box[3], "category_id": categories[k]["id"]}
                annotations.append(row)
                for _ in range((0, 1, 1, 1, 2)[int(rng.random() * 5)]):
                    found.setdefault(name, []).append(_near(rng, box, k == 5))
            if rng.random() < 0.2:
                x, y, w, h = _box(rng)
                found.setdefault(name, []).append([x, y, x + w, y + h])
        if lvis:
            ids = [category["id"] for category in categories]
            image["neg_category_ids"] = [i for i in ids if rng.random() < 0.2]
            image["not_exhaustive_category_ids"] = [i for i in ids if rng.random() < 0.2]
        images.append(image)
        if rng.random() < 0.9:
            records.append(
                {"image_path": f"val/{image['file_name']}", "extracted_predictions": found}
            )
    file = folder / f"{'lvis' if lvis else 'coco'}.json"
    data = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(data), "utf-8")
    return file, records


def our_coco_figures(file: Path, records: list[Record], lvis: bool) -> dict[str, float]:
    """Return rexkit's figures of records."""
    metric = RexOmniCocoF1(file, lvis)
    for record in records:
        found = [
            Instance(phrase, bbox=box)
            for phrase, boxes in record["extracted_predictions"].items()
            for box in boxes
        ]
        target = Annotation(SIZE, extra={"image_path": record["image_path"]})
        metric.add(Prediction(SIZE, found), target)
    return {name.removeprefix("rexomni_coco_"): v for name, v in metric.compute().items()}


def public_coco_figures(
    public: Path, file: Path, records: list[Record], lvis: bool, folder: Path
) -> dict[str, float]:
    """Return the figures of the public scripts, unrounded.

    Args:
        public: the checkout of the public repository.
        file: the annotation file.
        records: of the inference script.
        lvis: whether the file is LVIS's.
        folder: for the compiled extension and what the scripts write.
    """
    answers, table = folder / "answers.jsonl", folder / "answers.tsv"
    answers.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
    script = public / "evaluation" / "utils" / "convert_coco_lvis_to_standard_format.py"
    words = [f"--our_pred_jsonl={answers}", f"--coco_json={file}", f"--out_tsv={table}"]
    run_script(script, [*words, "--positive_only"])
    extension = _compiled(public / "evaluation" / "fastevaluate" / "fastevaluate", folder)
    with patch.dict(sys.modules, {"fastevaluate": extension}):
        metric = load_module(public / "evaluation" / "metrics" / "coco_lvis_metric.py")
    with _no_output():
        found = extension.evaluate(str(file), str(table), 0, 0, "lvis" if lvis else "coco")
    values = {}
    for name, end in (("0.5", "50"), ("0.95", "95"), ("0.5:0.95", "")):
        p, r = (metric.safe_mean(found[f"{side}{end}"]) for side in ("precision", "recall"))
        values |= {f"precision@{name}": p, f"recall@{name}": r, f"f1@{name}": metric.f1(p, r)}
    return {name: float(value) for name, value in values.items()}


def _compiled(sources: Path, folder: Path) -> Any:
    library = folder / "fastevaluate.so"
    if not library.exists():
        include = sysconfig.get_paths()["include"]
        files = [str(path) for path in sorted(sources.glob("*.c*"))]
        flags = ["-O3", "-shared", "-fPIC", "-fpermissive", "-w", f"-I{include}"]
        subprocess.run(["g++", *flags, *files, "-o", str(library), "-lpthread"], check=True)
    spec = importlib.util.spec_from_file_location("fastevaluate", library)
    assert spec is not None and spec.loader is not None  # noqa: PT018 - one condition
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def _no_output() -> Iterator[None]:
    """Send what the extension prints nowhere."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        with quiet():
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _box(rng: Random) -> list[float]:
    width, height = (side * (0.05 + 0.4 * rng.random()) for side in SIZE)
    return [rng.random() * (SIZE[0] - width), rng.random() * (SIZE[1] - height), width, height]


def _near(rng: Random, box: list[float], never: bool) -> list[float]:
    """Return a box near another as x0 y0 x1 y1; with ``never``, one that does not overlap it."""
    x, y, w, h = box
    side = w * (0.002, 0.02, 0.1, 0.3)[int(rng.random() * 4)]
    x0, y0, x1, y1 = (v + side * (rng.random() - 0.5) for v in (x, y, x + w, y + h))
    away = 2000.0 if never else 0.0
    return [x0 + away, y0, max(x0, x1) + away, max(y0, y1)]
