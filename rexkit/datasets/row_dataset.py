"""Base class of data sets over files: rows, some of which may be unusable."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from rexkit.datasets.row_counts import RowCounts, describe_clamped, describe_left_out
from rexkit.errors import ConfigError, DataError, did_you_mean
from rexkit.formats.annotation_records import read_record
from rexkit.formats.coordinates import BoxFormat, OnOutside
from rexkit.formats.images import Color, decode_image, read_image, rgb_color
from rexkit.structures import Annotation, Sample

OnError = Literal["raise", "skip"]

logger = logging.getLogger(__name__)

_BLOCK = 256


class RowDataset:
    """A sequence of samples, each read from one row of a file.

    With ``on_error="raise"`` nothing is read beforehand, and a row that cannot be used raises a
    `DataError` when it is read. With ``on_error="skip"`` every row is read once while the data set
    is built, image included, in as many threads as there are cores: a few milliseconds a row and
    core. Its length is then the number of rows that can be used, an index means the same row in
    every process and every run, and `skipped` is complete before training begins. The rows that a
    task cannot ask about are found by a second reading, for each source (`rexkit.examples.Source`).

    Boxes that leave their image are clamped to it, counted, and logged: the first one when it is
    read, all of them at the end of a run, or before it with ``on_error="skip"``. A box outside the
    image altogether is an error. With ``on_outside="raise"`` every box that leaves the image by
    more than a pixel is. Polygons and masks that cannot be used are left out where their instance
    has another geometry, and counted and logged in the same way.

    A subclass calls this constructor last, defines `row_source` and `load_row`, and keeps nothing
    open that cannot be pickled or forked.

    Args:
        num_rows: number of rows in the file.
        box_format: what ``bbox`` means in its records.
        on_error: "raise" or "skip".
        on_outside: "clamp" or "raise".
        background: the colour behind the transparent pixels of images; see
            `rexkit.formats.images.Color`.

    Attributes:
        needs_outlines: whether an outline that cannot be used makes its row unusable; a class
            attribute.
        skipped: the error of each row that is skipped.
        on_error: as given.
    """

    needs_outlines: ClassVar[bool] = False

    def __init__(
        self,
        num_rows: int,
        box_format: BoxFormat,
        on_error: OnError,
        on_outside: OnOutside = "clamp",
        background: Color = "white",
    ):
        self._background = rgb_color(background)
        for name, value, known in (
            ("box_format", box_format, ("xyxy", "xywh")),
            ("on_error", on_error, ("raise", "skip")),
            ("on_outside", on_outside, ("clamp", "raise")),
        ):
            if value not in known:
                raise ConfigError(f"{name}: {value!r} is not one; {did_you_mean(value, known)}")
        self.box_format = box_format
        self.on_error: OnError = on_error
        self.skipped: list[DataError] = []
        self._clamped = RowCounts(num_rows) if on_outside == "clamp" else None
        self._left_out = RowCounts(num_rows)
        self._scanning = False
        self._flat_reported = False
        self._rows: Sequence[int] | np.ndarray = range(num_rows)
        if on_error == "skip":
            self._skip_unusable()

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages: "train.annotations.tsv:17"."""
        raise NotImplementedError

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image: the file, or the encoded bytes.

        Raises:
            DataError: the row cannot be used; the caller adds its place.
        """
        raise NotImplementedError

    @property
    def clamped_boxes(self) -> int:
        """The number of boxes that were clamped to their image, of the rows read so far."""
        return 0 if self._clamped is None else self._clamped.total

    @property
    def clamped_rows(self) -> list[str]:
        """The places of the rows that have clamped boxes, of those read so far."""
        return [] if self._clamped is None else list(map(self.row_source, self._clamped.rows))

    @property
    def left_out_outlines(self) -> int:
        """The number of polygons and masks that cannot be used, of the rows read so far."""
        return self._left_out.total

    @property
    def left_out_rows(self) -> list[str]:
        """The places of the rows that have such outlines, of those read so far."""
        return list(map(self.row_source, self._left_out.rows))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        try:
            return self._read(self._row(index))[0]
        except DataError as error:
            hint = "correct the row, or skip unusable rows with on_error='skip'"
            raise DataError(f"{error.reason}; {hint}", error.source) from error

    def stored(self, index: int) -> tuple[Sample, Any, bytes]:
        """Return a sample, with its record and its encoded image as the files hold them."""
        return self._read(self._row(index))

    def _row(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return int(self._rows[index])

    def _read(self, row: int) -> tuple[Sample, Any, bytes]:
        source = self.row_source(row)
        clamped: list[str] | None = None if self._clamped is None else []
        left_out: list[str] | None = None if self.needs_outlines else []
        try:
            record, found = self.load_row(row)
            encoded = read_image(found) if isinstance(found, Path) else found
            image = decode_image(encoded, self._background)
            annotation = read_record(record, image.size, self.box_format, clamped, left_out)
        except DataError as error:
            raise error.at(source) from error
        if self._clamped is not None and clamped:
            self._count_clamped(row, source, clamped, self._clamped)
        if left_out and self._left_out.set(row, len(left_out)) and not self._scanning:
            logger.warning(
                "%s: %s; this outline is left out, and others like it are counted",
                source,
                left_out[0],
            )
        self._report_flat(annotation, source)
        path = str(found) if isinstance(found, Path) else None
        return Sample(image, annotation, source, path), record, encoded

    def _report_flat(self, annotation: Annotation, source: str) -> None:
        """Warn of the first box of the dataset without width or height."""
        boxed = [i for i in annotation.instances if i.bbox is not None and not i.ignore]
        if self._flat_reported or not boxed:
            return
        boxes = np.array([i.bbox for i in boxed])
        flat = np.flatnonzero((boxes[:, 2:] <= boxes[:, :2]).any(axis=1))
        if flat.size:
            self._flat_reported = True
            logger.warning(
                "%s: the box %s of %r has no width or no height; tasks that ask for boxes "
                "ignore it and others like it",
                source,
                boxes[flat[0]].tolist(),
                boxed[flat[0]].phrase,
            )

    def _count_clamped(
        self, row: int, source: str, clamped: Sequence[str], numbers: RowCounts
    ) -> None:
        if numbers.set(row, len(clamped)) and not self._scanning:
            logger.warning(
                "%s: %s and is clamped to it; others are counted. Set box_format if the numbers "
                "mean something else, or on_outside='raise' to make such boxes errors",
                source,
                clamped[0],
            )

    def _skip_unusable(self) -> None:
        self._scanning = True
        rows = range(len(self._rows))
        blocks = [rows[start : start + _BLOCK] for start in rows[::_BLOCK]]
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            failures = {row: e for block in pool.map(self._failures, blocks) for row, e in block}
        self.skipped = list(failures.values())
        self._rows = np.array([row for row in rows if row not in failures], dtype=np.int64)
        if failures:
            number, first = len(failures), self.skipped[0]
            logger.warning("%d of %d rows are skipped; the first: %s", number, len(rows), first)
        self._scanning = False
        if self.clamped_boxes:
            logger.warning("%s", describe_clamped(self.clamped_boxes, self.clamped_rows))
        if self.left_out_outlines:
            logger.warning("%s", describe_left_out(self.left_out_outlines, self.left_out_rows))

    def _failures(self, rows: Sequence[int]) -> list[tuple[int, DataError]]:
        failures = []
        for row in rows:
            try:
                self._read(row)
            except DataError as error:
                # A new one: the error that was raised keeps the image alive by its traceback.
                failures.append((row, error.at(error.source)))
        return failures
