"""The public evaluation set of Rex-Omni, and test results in its format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from rexkit.datasets.jsonl_dataset import JsonlDataset
from rexkit.datasets.row_dataset import OnError
from rexkit.errors import ConfigError, DataError
from rexkit.formats.coordinates import OnOutside
from rexkit.formats.images import Color
from rexkit.formats.rexomni_eval import read_entries, read_extra
from rexkit.registry import DATASETS

ANNOTATION_FOLDERS = ("annotations", "_annotations")
"""The folder of the files, as the public scripts name it and as the public README does."""


class _Question(NamedTuple):
    """A line of the file, and which category of its visual prompt is asked for, if any."""

    line: int
    number: int = 0
    category: str | None = None


@DATASETS.register_module()
class RexOmniEvalDataset(JsonlDataset):
    """The public Rex-Omni evaluation set: one JSON object a line, an image and its ground truth.

    Its files are ``annotations/box_eval/COCO.jsonl``, ``point_eval/…``, ``visual_prompt_eval/…``
    and ``keypoint_eval/…``; the folder may also be called ``_annotations``. Their images lie beside
    it. The ``predictions.jsonl`` that `rexkit test` writes can be read too.
    `rexkit.formats.rexomni_eval` describes the rows.

    A row is a sample; one with a ``visual_prompt`` of several categories is a sample for each of
    them, in their order, since each is a question of its own.

    Args:
        ann_file: the JSONL file; one below ``annotations`` is also found below ``_annotations``,
            and the reverse.
        image_dir: the folder that paths are relative to; left out, the folder that holds
            ``annotations`` or ``_annotations``, or that of ``ann_file`` where it does not lie in
            such a folder.
        max_num_samples: use the first rows only, at most this many; None uses all.
        on_error: "raise" or "skip", as in `rexkit.datasets.row_dataset.RowDataset`.
        on_outside: "clamp" or "raise", what becomes of boxes that leave their image, as there.
        background: the colour behind the transparent pixels of images, as there.

    Raises:
        FileNotFoundError: ``ann_file`` is missing. Whatever is wrong with a row is a `DataError`
            with file and line when it is read.
        ConfigError: ``max_num_samples`` is no number above 0.
    """

    image_keys = ("image_path", "image_name")
    by_category: ClassVar[bool] = True
    """Whether each category of a row's visual prompt is a sample."""

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        max_num_samples: int | None = None,
        on_error: OnError = "raise",
        on_outside: OnOutside = "clamp",
        background: Color = "white",
    ):
        if max_num_samples is not None and not (
            type(max_num_samples) is int and max_num_samples > 0
        ):
            raise ConfigError(
                f"max_num_samples: must be a whole number above 0, or None; got {max_num_samples!r}"
            )
        file = _find(Path(ann_file))
        self._max_num_samples = max_num_samples
        self._questions: list[_Question] = []
        super().__init__(
            file,
            image_folder(file) if image_dir is None else image_dir,
            on_error=on_error,
            on_outside=on_outside,
            background=background,
            orientation="upright",
            coordinates="pixels",
        )

    def count_rows(self) -> int:
        """Return the number of questions, after finding them."""
        lines = range(len(self._file))[: self._max_num_samples]
        self._questions = [question for line in lines for question in self._of_line(line)]
        return len(self._questions)

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages."""
        return self._file.location(self._questions[row].line)

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image."""
        question = self._questions[row]
        record, image = super().load_row(question.line)
        extra = record["extra"]
        extra |= {"row": self._file.location(question.line), "number": question.number}
        if question.category is not None:
            extra["visual_prompt"] = {question.category: extra["visual_prompt"][question.category]}
        return record, image

    def record(self, fields: Mapping[str, Any]) -> Any:
        """Return the annotation record in the fields of a row."""
        return {"instances": read_entries(fields), "extra": read_extra(fields)}

    def _of_line(self, line: int) -> Iterator[_Question]:
        prompt = None
        if self._file.contains(line, b'"visual_prompt"'):
            # What is wrong with a row is said when it is read.
            with suppress(DataError, AttributeError):
                prompt = self._file.value(line).get("visual_prompt")
        if not isinstance(prompt, Mapping) or not prompt or not self.by_category:
            yield _Question(line)
            return
        for number, category in enumerate(prompt):
            yield _Question(line, number, category)


def _find(ann_file: Path) -> Path:
    """Return a file of the set, whichever name the folder of the annotations has."""
    if ann_file.is_file():
        return ann_file
    here, other = ANNOTATION_FOLDERS
    for name, instead in ((here, other), (other, here)):
        places = [number for number, part in enumerate(ann_file.parts) if part == name]
        if places:
            parts = [*ann_file.parts]
            parts[places[-1]] = instead
            if Path(*parts).is_file():
                return Path(*parts)
    raise FileNotFoundError(
        f"there is no file {ann_file}; the set is at "
        "https://huggingface.co/datasets/Mountchicken/Rex-Omni-EvalData, and the shipped configs "
        "look for it in data_root: --cfg-options data_root=FOLDER"
    )


def image_folder(ann_file: Path) -> Path:
    """Return the folder that paths of images in a file are relative to."""
    above = [parent.parent for parent in ann_file.parents if parent.name in ANNOTATION_FOLDERS]
    return above[0] if above else ann_file.parent
