"""The three files of a TSV data set: images, annotations and an index."""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import json
import logging
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rexkit.errors import DataError, UserError
from rexkit.formats.json_lines import parse_json
from rexkit.formats.mapped_file import MappedFile
from rexkit.whole_files import write_whole

logger = logging.getLogger(__name__)

_COUNTED = 2**30
_DIGITS = 18
"""The most digits of an offset."""
_WHOLE = re.compile(rb"-?[0-9]+")
_BAD = -(2**63)
"""Stands, with its number added, for a line of an index that is no offset."""


class TSVReader:
    """Reads the rows of TSV files; `rexkit.datasets.TSVDataset` describes them.

    The large files are memory-mapped. The reader can be pickled, and read by several threads and
    processes at once.

    Args:
        images: path of the ``*.images.tsv``.
        annotations: path of the ``*.annotations.tsv``.
        lineidx: path of its index.
        partial_index: whether the index may leave out lines of the annotations, or repeat them.

    Raises:
        FileNotFoundError: one of the files is missing.
        DataError: the index leaves out or repeats lines, unless it may.
    """

    def __init__(
        self,
        images: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        lineidx: str | os.PathLike[str],
        partial_index: bool = False,
    ):
        self._images = MappedFile(images)
        self._annotations = MappedFile(annotations)
        self._lineidx = Path(lineidx)
        self._offsets = _read_offsets(self._lineidx)
        if not partial_index:
            _check_complete(Path(lineidx), self._offsets, self._annotations.path)

    def __len__(self) -> int:
        return len(self._offsets)

    def location(self, row: int) -> str:
        """Return the location of a row for messages: "train.annotations.tsv:17"."""
        return f"{self._annotations.path}:{row + 1}"

    def read(self, row: int) -> tuple[Any, bytes]:
        """Return the annotation record of a row, and its encoded image.

        Raises:
            DataError: the row, or the line of its image, is not as the format says.
        """
        record, offset = self._annotation(row)
        return record, self._image(offset)

    def record(self, row: int) -> Any:
        """Return the annotation record of a row; its image is not read.

        Raises:
            DataError: the row is not as the format says.
        """
        return self._annotation(row)[0]

    def _annotation(self, row: int) -> tuple[Any, int]:
        """Return the record of a row, and the offset of its image."""
        start = int(self._offsets[row])
        if start < _BAD + len(self._offsets):
            raise DataError(f"line {row + 1} of {self._lineidx} is no byte offset")
        line = self._annotations.line(start).removeprefix(codecs.BOM_UTF8)
        offset, tab, record = line.partition(b"\t")
        if not tab or not offset.strip().isdigit() or len(offset) > _DIGITS:
            raise DataError(f"expected a byte offset, a tab and JSON, got {offset[:40]!r}")
        return parse_json(record), int(offset)

    def _image(self, offset: int) -> bytes:
        location = f"the image at byte {offset} of {self._images.path}"
        _, tab, encoded = self._images.line(offset).partition(b"\t")
        if not tab:
            raise DataError(f"{location} has no tab before its base64")
        encoded = encoded.strip()
        if encoded.startswith(b"b'"):
            encoded = encoded[2:].removesuffix(b"'")
        try:
            return base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise DataError(f"{location} is bad base64 ({error})") from error


class TSVWriter:
    """Writes what `TSVReader` reads, so that the files appear whole or not at all.

    Rows go to temporary files beside the three, which are renamed at `commit`. Without it, because
    of an error or because it was not called, they are removed, and the old files stay.

    With an ``identity``, work that was killed or interrupted can go on: a writer of the same
    identity takes over the temporary files, up to the last `checkpoint`.

    Args:
        images: path of the ``*.images.tsv`` to write.
        annotations: path of the ``*.annotations.tsv``.
        lineidx: path of its index.
        identity: whatever must be the same for work to go on: the data and the options.

    Attributes:
        rows: how many rows the files have.
        done: what was handed to the last `checkpoint` of work that goes on; 0 for new work.
        state: likewise.

    Raises:
        UserError: another process writes the same files, once both have an identity.

    Any data set can be written this way::

        with TSVWriter("a.images.tsv", "a.annotations.tsv", "a.annotations.tsv.lineidx") as writer:
            for sample in dataset:
                writer.write(encode_image(sample.image), to_record(sample.annotation))
            writer.commit()
    """

    def __init__(
        self,
        images: str | os.PathLike[str],
        annotations: str | os.PathLike[str],
        lineidx: str | os.PathLike[str],
        identity: str | None = None,
    ):
        self.paths = [Path(images), Path(annotations), Path(lineidx)]
        if len({path.resolve() for path in self.paths}) < 3:
            raise ValueError(f"the three files must be different ones, got {self.paths}")
        self.rows = self.done = 0
        self.state: Any = None
        self._identity = identity
        mark = f"{os.getpid()}.tmp" if identity is None else "partial"
        self._temporary = [path.with_name(f".{path.name}.{mark}") for path in self.paths]
        self._progress = self._temporary[2].with_suffix(".progress")
        self._files: list[BinaryIO] = []
        self._offsets: dict[bytes, int] = {}
        self._checked = time.monotonic()

    def __enter__(self) -> TSVWriter:
        try:
            for path in self._temporary:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                self._files.append(path.open("r+b"))
                if self._identity is not None and len(self._files) == 1:
                    self._claim()
            self._take_over()
        except BlockingIOError:
            self._close()
            raise UserError(
                f"{self.paths[0]}: another process writes it; wait for it, or write to other files"
            ) from None
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        interrupted = isinstance(error, KeyboardInterrupt | SystemExit)
        if self._identity is not None and interrupted and self._progress.exists():
            self._close()
        else:
            self._discard()

    def write(self, image: bytes, record: Any) -> None:
        """Add a row.

        Args:
            image: an encoded image; one that was written before is not stored again.
            record: what `rexkit.formats.annotation_records.read_record` reads, such as
                ``to_record(annotation)``.
        """
        images, annotations, lineidx = self._files
        try:
            text = json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # half of a surrogate pair, in a field that nobody reads
            text = json.dumps(record).encode()
        digest = hashlib.sha256(image).digest()
        if digest not in self._offsets:
            self._offsets[digest] = images.tell()
            images.write(b"%d\t%b\n" % (images.tell(), base64.b64encode(image)))
        lineidx.write(b"%d\n" % annotations.tell())
        annotations.write(b"%d\t%b\n" % (self._offsets[digest], text))
        self.rows += 1

    def checkpoint(self, done: int, state: Any = None, every: float = 5.0) -> None:
        """Note how far the work is, so that it can go on from here.

        Args:
            done: how many rows of the source are dealt with.
            state: anything else, as JSON.
            every: the least seconds since the last time.
        """
        if self._identity is None or time.monotonic() - self._checked < every:
            return
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        progress = {
            "identity": self._identity,
            "sizes": [file.tell() for file in self._files],
            "rows": self.rows,
            "done": done,
            "state": state,
        }
        write_whole(self._progress, json.dumps(progress))
        self._checked = time.monotonic()

    def commit(self) -> None:
        """Give the files their names."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        # The old index goes first and the new one comes last: at no moment do old and new files
        # pass for a dataset.
        self._progress.unlink(missing_ok=True)
        self.paths[2].unlink(missing_ok=True)
        for temporary, path in zip(self._temporary, self.paths, strict=True):
            temporary.replace(path)
        self._close()

    def _claim(self) -> None:
        """Lock the first temporary file; it must still be the one of its name."""
        import fcntl

        file, path = self._files[0], self._temporary[0]
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise BlockingIOError  # another process has just finished

    def _take_over(self) -> None:
        """Go on from the last checkpoint of the same identity, or begin with empty files."""
        sizes = [0, 0, 0]
        if self._identity is not None and self._progress.exists():
            try:
                progress = json.loads(self._progress.read_text("utf-8"))
                noted = [int(size) for size in progress["sizes"]]
                same = progress["identity"] == self._identity
                held = [file.seek(0, os.SEEK_END) for file in self._files]
                if same and all(a <= b for a, b in zip(noted, held, strict=True)):
                    sizes = noted
                    self.rows, self.done = int(progress["rows"]), int(progress["done"])
                    self.state = progress["state"]
            except (ValueError, KeyError, TypeError):
                self.rows = self.done = 0
            if not self.done:
                logger.warning(
                    "%s: what is left there of an earlier start belongs to other data or options, "
                    "so this one begins anew",
                    self._progress,
                )
        for file, size in zip(self._files, sizes, strict=True):
            file.truncate(size)
        offset = self._files[0].seek(0)
        for line in self._files[0]:
            image = base64.b64decode(line.partition(b"\t")[2])
            self._offsets[hashlib.sha256(image).digest()] = offset
            offset += len(line)
        for file in self._files:
            file.seek(0, os.SEEK_END)

    def _close(self) -> None:
        for file in self._files:
            # What the buffers still hold cannot be written to a full disk, and is not wanted.
            with suppress(OSError):
                file.close()
        self._files = []

    def _discard(self) -> None:
        self._close()
        for path in (*self._temporary, self._progress):
            path.unlink(missing_ok=True)


def _read_offsets(path: Path) -> NDArray[np.int64]:
    lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split()
    # A number of more digits is beyond every file, as its row will say; numpy would refuse it.
    lines = [line if len(line) <= _DIGITS else line[:_DIGITS] for line in lines]
    try:
        return np.array(lines, dtype=np.bytes_).astype(np.int64)
    except ValueError:  # of single rows, which say so when they are read
        whole = [
            line if _WHOLE.fullmatch(line) else b"%d" % (_BAD + number)
            for number, line in enumerate(lines)
        ]
        return np.array(whole, dtype=np.bytes_).astype(np.int64)


def _check_complete(path: Path, offsets: NDArray[np.int64], annotations: Path) -> None:
    """Check that an index has each line of the annotations once.

    Lines are counted, up to 1 GiB; of larger files, the last of the index must end the file.
    """
    hint = (
        "it is of another file, or was cut off; convert the data again, or set partial_index=True "
        "if the index is to choose rows"
    )
    order = np.argsort(offsets, kind="stable")
    repeated = np.flatnonzero(np.diff(offsets[order]) == 0)
    if repeated.size:
        first, second = order[repeated[0]], order[repeated[0] + 1]
        raise DataError(
            f"it repeats the offset of line {first + 1}; {hint}", f"{path}:{second + 1}"
        )
    size = annotations.stat().st_size
    if size <= _COUNTED:
        with annotations.open("rb") as file:
            lines = sum(not line.isspace() for line in file)
        if len(offsets) != lines:
            what = f"it has {len(offsets)} lines, {annotations} has {lines}"
            raise DataError(f"{what}; {hint}", str(path))
    elif not len(offsets) or not _ends_file(annotations, int(offsets[order[-1]])):
        raise DataError(
            f"{annotations} goes on after the last line of the index; {hint}", str(path)
        )


def _ends_file(path: Path, offset: int) -> bool:
    """Tell whether nothing but white space follows the line at an offset."""
    with path.open("rb") as file:
        file.seek(max(0, offset))
        file.readline()
        return not file.read(2**16).strip()
