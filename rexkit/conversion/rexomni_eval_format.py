"""The public evaluation set of Rex-Omni, as a source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rexkit.conversion.data_format import DataFormat, SourceSplit, by_split, first_files, first_row
from rexkit.datasets import RexOmniEvalDataset
from rexkit.datasets.rexomni_eval_dataset import ANNOTATION_FOLDERS, image_folder
from rexkit.registry import FORMATS

_PLACES = ("*.jsonl", *(f"{f}/{d}*.jsonl" for f in ANNOTATION_FOLDERS for d in ("", "*/")))


class RexOmniEvalRows(RexOmniEvalDataset):
    """The set with a row for each line, whatever its visual prompt asks for.

    Of a line's own fields, ``task_name`` and ``dataset_name`` are kept: the others are said by the
    instances, those of a visual prompt by ``extra["reference"]``.
    """

    by_category = False

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        record, image = super().load_row(row)
        kept = {name: record["extra"].get(name) for name in ("task_name", "dataset_name")}
        extra = {name: value for name, value in kept.items() if value is not None}
        return {"instances": record["instances"], **({"extra": extra} if extra else {})}, image


@FORMATS.register_module("rexomni-eval")
class RexOmniEvalFormat(DataFormat):
    """The JSON Lines of Rex-Omni's public evaluation: ``annotations/box_eval/COCO.jsonl``, ….

    It is only read: its ground truth is that of published figures.
    """

    options = frozenset()

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        files = first_files(path, *_PLACES)
        return next((f"'gt' in {file}" for file in files if _is_own(file)), None)

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return a split for each file, "box_eval_COCO"; of a single one, that without a name."""
        found = [path] if path.is_file() else [f for p in _PLACES for f in sorted(path.glob(p))]
        files = {_split_name(file): file for file in found if path.is_file() or _is_own(file)}
        if not files:
            raise FileNotFoundError(f"there is no file of the evaluation set in {path}")
        return {
            split: SourceSplit(
                RexOmniEvalRows(file, images, **options), images or image_folder(file)
            )
            for split, file in by_split(files).items()
        }


def _is_own(file: Path) -> bool:
    row = first_row(file) if file.suffix == ".jsonl" else None
    return bool(row and "gt" in row and row.keys() & {*RexOmniEvalDataset.image_keys})


def _split_name(file: Path) -> str:
    kind = file.parent.name
    has_kind = file.parent.parent.name in ANNOTATION_FOLDERS
    return f"{kind}_{file.stem}" if has_kind else file.stem
