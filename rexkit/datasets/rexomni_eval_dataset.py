"""The public evaluation set of Rex-Omni, and test results in its format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rexkit.datasets.jsonl_dataset import JsonlDataset
from rexkit.datasets.row_dataset import OnError
from rexkit.formats.rexomni_eval import read_entries
from rexkit.registry import DATASETS


@DATASETS.register_module()
class RexOmniEvalDataset(JsonlDataset):
    """The public Rex-Omni evaluation set: one JSON object a line, an image and its ground truth.

    Its files are ``_annotations/box_eval/COCO.jsonl``, ``point_eval/…``, ``visual_prompt_eval/…``
    and ``keypoint_eval/…``; their images lie beside ``_annotations``. The ``predictions.jsonl``
    that `rexkit test` writes can be read too. `rexkit.formats.rexomni_eval` describes the rows.

    Args:
        ann_file: the JSONL file.
        image_dir: the folder that paths are relative to; left out, the folder that holds
            ``_annotations``, or that of ``ann_file`` where it does not lie in such a folder.
        on_error: "raise" or "skip", as in `rexkit.datasets.row_dataset.RowDataset`.

    Raises:
        FileNotFoundError: ``ann_file`` is missing. Whatever is wrong with a row is a `DataError`
            with file and line when it is read.
    """

    image_keys = ("image_path", "image_name")

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        on_error: OnError = "raise",
    ):
        super().__init__(
            ann_file, _root(Path(ann_file)) if image_dir is None else image_dir, on_error=on_error
        )

    def record(self, fields: Mapping[str, Any]) -> Any:
        """Return the annotation record in the fields of a row."""
        return {"instances": read_entries(fields)}


def _root(ann_file: Path) -> Path:
    above = [parent.parent for parent in ann_file.parents if parent.name == "_annotations"]
    return above[0] if above else ann_file.parent
