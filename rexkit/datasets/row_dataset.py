"""Base class of data sets over files: rows, some of which may be unusable."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal, TypedDict, get_args

import numpy as np

from rexkit.datasets.coordinate_range import CoordinateRange
from rexkit.datasets.orientation import turned, upright_size
from rexkit.datasets.row_counts import RowCounts, describe_clamped, describe_left_out
from rexkit.datasets.skipped_rows import SKIP_HINT, describe_skipped, errors_of_row
from rexkit.errors import ConfigError, DataError, did_you_mean
from rexkit.formats.annotation_records import (
    LISTS,
    instance_phrases,
    read_record,
    to_record,
    with_corners,
)
from rexkit.formats.coordinates import BoxFormat, Coordinates, OnOutside
from rexkit.formats.images import Color, decode_oriented, read_header, read_image, rgb_color
from rexkit.structures import Annotation, ImageSize, Sample

OnError = Literal["raise", "skip"]

Orientation = Literal["upright", "stored"]
"""What coordinates refer to: the image turned upright by its EXIF orientation, or its pixels in the
order in which the file stores them, as tools without knowledge of EXIF show them."""

logger = logging.getLogger(__name__)

_BLOCK = 256


class RowOptions(TypedDict, total=False):
    """The arguments that data sets pass on to `RowDataset`, which describes them."""

    on_error: OnError
    on_outside: OnOutside
    background: Color
    orientation: Orientation | None
    coordinates: Coordinates | None


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

    Coordinates refer to the upright image, unless ``orientation="stored"``: then they are turned
    with the image. Where neither is set and an image is turned although its record does not state
    a size that tells, this is logged once.

    Coordinates are pixels, unless ``coordinates`` is the range that stands for the image's width
    and height, such as "0-1". Where it is not set, coordinates that all lie between 0 and 1 are an
    error, and so are those of a dataset that seem to be thousandths of the image's size.

    A subclass calls this constructor last, with the ``**options`` of its own one, defines
    `row_source` and `load_row`, and keeps nothing open that cannot be pickled or forked.

    Args:
        num_rows: number of rows in the file.
        box_format: what ``bbox`` means in its records.
        on_error: "raise" or "skip".
        on_outside: "clamp" or "raise".
        background: the colour behind the transparent pixels of images; see
            `rexkit.formats.images.Color`.
        orientation: "upright" or "stored"; None is "upright" with a warning where it is unclear.
        coordinates: "pixels", or the range of other coordinates; None is "pixels", checked.

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
        on_error: OnError = "raise",
        on_outside: OnOutside = "clamp",
        background: Color = "white",
        orientation: Orientation | None = None,
        coordinates: Coordinates | None = None,
    ):
        self._background = rgb_color(background)
        for name, value, known in (
            ("box_format", box_format, get_args(BoxFormat)),
            ("on_error", on_error, get_args(OnError)),
            ("on_outside", on_outside, get_args(OnOutside)),
            ("orientation", orientation or "upright", get_args(Orientation)),
            ("coordinates", coordinates or "pixels", get_args(Coordinates)),
        ):
            if value not in known:
                raise ConfigError(f"{name}: {value!r} is not one; {did_you_mean(value, known)}")
        self.box_format = box_format
        self.on_error: OnError = on_error
        self.skipped: list[DataError] = []
        self._orientation = orientation
        self._orientation_reported = orientation is not None
        self._coordinates: Coordinates = coordinates or "pixels"
        self._range = CoordinateRange(num_rows) if coordinates is None else None
        self._clamped = RowCounts(num_rows) if on_outside == "clamp" else None
        self._left_out = RowCounts(num_rows)
        self._scanning = False
        self._flat_reported = False
        self._rows: Sequence[int] | np.ndarray = range(num_rows)
        if on_error == "skip":
            self._skip_unusable()

    @classmethod
    def extra_arguments(cls) -> Iterable[str]:
        """Return the names of the arguments that ``**options`` of a subclass may have."""
        return RowOptions.__annotations__

    def row_source(self, row: int) -> str:
        """Return the place of a row, for messages: "train.annotations.tsv:17"."""
        raise NotImplementedError

    def load_row(self, row: int) -> tuple[Any, Path | bytes]:
        """Return the annotation record of a row, and its image: the file, or the encoded bytes.

        Raises:
            DataError: the row cannot be used; the caller adds its place.
        """
        raise NotImplementedError

    def load_record(self, row: int) -> Any:
        """Return the annotation record of a row, without its image where that saves reading it."""
        return self.load_row(row)[0]

    def image_name(self, index: int) -> str | None:
        """Return the name of an image that is no file of its own, for formats that keep one."""
        return None

    def row_phrases(self, index: int) -> list[str]:
        """Return the phrase of every instance of a sample, without decoding its image.

        Raises:
            DataError: the row cannot be read.
        """
        row = self._row(index)
        with errors_of_row(self.row_source(row), "annotation"):
            return instance_phrases(self.load_record(row))

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
            if self.on_error == "skip":  # the file has changed since it was read
                raise
            reason = f"{error.reason}; correct the row, {SKIP_HINT}"
            raise DataError(reason, error.source, error.kind) from error

    def stored(self, index: int) -> tuple[Sample, Any, bytes]:
        """Return a sample, a record of it in pixels, and its encoded image as the files hold it.

        The record is that of the row, which `read_record` reads without options. Where the row is
        in other coordinates, its boxes, or all of its geometries, are written anew.
        """
        sample, record, encoded = self._read(self._row(index))
        if self._coordinates != "pixels" or self._orientation == "stored":
            sizes = dict(zip(("width", "height"), sample.annotation.image_size, strict=True))
            kept = {k: v for k, v in record.items() if k not in LISTS}
            record = kept | {k: v for k, v in sizes.items() if k in kept}
            record |= to_record(sample.annotation)
        elif self.box_format != "xyxy":
            record = with_corners(record, self.box_format)
        return sample, record, encoded

    def _row(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return int(self._rows[index])

    def described(self, index: int) -> tuple[Annotation, Path | bytes]:
        """Return the annotation of a sample, and its image, of which only the header is read.

        Raises:
            DataError: the row cannot be used; it is not known whether its image can be decoded.
        """
        row = self._row(index)
        source = self.row_source(row)
        with errors_of_row(source, "annotation"):
            record, found = self.load_row(row)
        with errors_of_row(source, "image"):
            size, turn = read_header(found)
        return self._checked(row, source, record, size, turn), found

    def _read(self, row: int) -> tuple[Sample, Any, bytes]:
        source = self.row_source(row)
        with errors_of_row(source, "annotation"):
            record, found = self.load_row(row)
        with errors_of_row(source, "image"):
            encoded = read_image(found) if isinstance(found, Path) else found
            image, turn = decode_oriented(encoded, self._background)
        annotation = self._checked(row, source, record, image.size, turn)
        path = str(found) if isinstance(found, Path) else None
        return Sample(image, annotation, source, path), record, encoded

    def _checked(
        self, row: int, source: str, record: Any, image_size: ImageSize, turn: int
    ) -> Annotation:
        """Read a record for its upright image; count and report what is not as it should be."""
        clamped: list[str] | None = None if self._clamped is None else []
        left_out: list[str] | None = None if self.needs_outlines else []
        with errors_of_row(source, "annotation"):
            stored = self._orientation == "stored"
            size = upright_size(image_size, turn) if stored else image_size
            annotation = self._annotation(row, record, size, clamped, left_out)
            if stored:
                annotation = turned(annotation, turn)
        if self._clamped is not None and clamped:
            self._count_clamped(row, source, clamped, self._clamped)
        if left_out and self._left_out.set(row, len(left_out)) and not self._scanning:
            logger.warning(
                "%s: %s; this outline is left out, and others like it are counted",
                source,
                left_out[0],
            )
        self._report_flat(annotation, source)
        if turn != 1 and not self._orientation_reported:
            self._report_orientation(record, image_size, turn, source)
        return annotation

    def _annotation(
        self,
        row: int,
        record: Any,
        size: tuple[int, int],
        clamped: list[str] | None,
        left_out: list[str] | None,
    ) -> Annotation:
        """Read a record, and check whether its coordinates seem to be pixels."""
        far_out = self._range is not None and self._range.see(row, record, size, self.box_format)
        try:
            annotation = read_record(
                record, size, self.box_format, clamped, left_out, self._coordinates
            )
        except DataError as error:
            if not far_out or "outside the image" not in error.reason:
                raise
            hint = "if these are thousandths of the image's size, set coordinates='0-1000'"
            raise DataError(f"{error.reason}; {hint}") from error
        if self._range is not None and far_out and not self._scanning:
            self._range.check()
        return annotation

    def _report_orientation(
        self, record: Any, size: tuple[int, int], turn: int, source: str
    ) -> None:
        """Warn of the first image of which its size does not tell what coordinates refer to."""
        stated = (record.get("width"), record.get("height"))
        if turn >= 5 and size[0] != size[1] and stated == size:
            return
        self._orientation_reported = True
        logger.warning(
            "%s: the image has the EXIF orientation %d, and its coordinates are taken for those of "
            "the upright image. Set orientation='stored' if they refer to the pixels as the file "
            "stores them, or orientation='upright' to confirm",
            source,
            turn,
        )

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
                "%s: %s and is clamped to it; others are counted. Set box_format or coordinates if "
                "the numbers mean something else, or on_outside='raise' to make such boxes errors",
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
            logger.warning("%s", describe_skipped(self.skipped, len(rows)))
        self._scanning = False
        if self._range is not None and len(rows):
            try:
                self._range.check()
            except DataError as error:
                raise error.at(self.row_source(0)) from error
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
