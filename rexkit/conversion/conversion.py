"""The conversion of a data set: rows are read in parallel, and what gets lost is counted."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from rexkit.conversion.data_format import SourceSplit, Writer
from rexkit.conversion.rows import ConvertedRow, RowFile, failed_line, repair
from rexkit.datasets.row_failures import RowFailures
from rexkit.errors import DataError, UserError
from rexkit.whole_files import partial_name, write_whole

WORK = ".rexkit-convert"
_CHUNK = 32

_Work = Callable[[list[tuple[str, int]]], list[str]]
"""What makes the lines of some rows."""


@dataclass
class ConversionReport:
    """What a conversion did.

    Attributes:
        rows: how many were written, by split.
        failures: those that could not be used.
        losses: how many of each feature the target does not hold as it is, with what became of it.
        instances_left_out: those that the target has no place for, as without any geometry that
            it holds.
        images: how many image files were copied.
    """

    rows: Counter[str] = field(default_factory=Counter)
    failures: RowFailures = field(default_factory=RowFailures)
    losses: Counter[str] = field(default_factory=Counter)
    instances_left_out: int = 0

    def describe(self, writer: Writer) -> list[str]:
        """Return a line for each kind of loss, then one for each kind of failure."""
        lines = [
            f"{number} {feature}: {writer.replaces.get(feature, 'left out')}"
            for feature, number in self.losses.most_common()
        ]
        if self.instances_left_out:
            lines.append(f"{self.instances_left_out} instances left out: {writer.left_out}")
        return lines + self.failures.describe()


def convert(
    splits: dict[str, SourceSplit],
    writer: Writer,
    identity: str,
    workers: int = 1,
    link: bool = False,
    progress: Callable[[Iterator[int], int], Iterator[int]] | None = None,
) -> ConversionReport:
    """Write a data set in another format.

    Rows go through in the order of the source. What was done is in a folder of its own inside the
    target until the end, so that a conversion that was killed goes on where it was.

    Args:
        splits: what to read.
        writer: what writes it.
        identity: whatever must be the same for a conversion to go on.
        workers: processes that read rows and copy images; 1 works in this one.
        link: make hard links to images instead of copies, where the file system can.
        progress: wraps the numbers of the rows, as `rich.progress.track` does.

    Raises:
        UserError: the folder has files of something else.
    """
    work = writer.folder / WORK
    _claim(work, identity, writer.folder)
    spool = work / "rows.jsonl"
    done = repair(spool)
    todo = [(name, index) for name, split in splits.items() for index in range(len(split.dataset))]
    one = partial(_convert_rows, splits, writer, link)
    chunks = (todo[i : i + _CHUNK] for i in range(done, len(todo), _CHUNK))
    numbers = iter(range(len(todo) - done))
    tracked = numbers if progress is None else progress(numbers, len(todo) - done)
    pool = _pool(workers, one) if workers > 1 else nullcontext(None)
    with spool.open("a", encoding="utf-8") as file, pool as executor:
        for lines in _ordered(executor, one, chunks, 4 * workers):
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            for _ in lines:
                next(tracked, None)
    rows = RowFile(spool)
    writer.survey(rows)
    report = _report(rows, writer)
    if len(rows):
        writer.write(rows)
    shutil.rmtree(work)
    return report


def identity_of(words: dict[str, Any], path: Path) -> str:
    """Return what must be the same for a conversion to go on: its words, and the source's state."""
    status = path.stat()
    state = [sorted((k, str(v)) for k, v in words.items()), status.st_size, status.st_mtime_ns]
    return hashlib.sha256(repr(state).encode()).hexdigest()


def _claim(work: Path, identity: str, folder: Path) -> None:
    state = work / "identity"
    if state.is_file() and state.read_text() == identity:
        return
    if folder.is_dir() and any(folder.iterdir()):
        what = "an unfinished conversion of other data or words" if work.is_dir() else "other files"
        raise UserError(f"{folder} holds {what}; name a new folder, or remove it")
    work.mkdir(parents=True)
    write_whole(state, identity)


def _pool(workers: int, one: _Work) -> ProcessPoolExecutor:
    """Return processes that have the data set from the fork: it is not sent with each chunk."""
    context = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(workers, context, initializer=_work.append, initargs=(one,))


_work: list[_Work] = []
"""What a process of the pool does with a chunk."""


def _in_pool(chunk: list[tuple[str, int]]) -> list[str]:
    return _work[-1](chunk)


def _ordered(
    executor: Executor | None,
    one: _Work,
    chunks: Iterator[list[tuple[str, int]]],
    ahead: int,
) -> Iterator[list[str]]:
    """Yield the results in order, with so many chunks in work at once."""
    if executor is None:
        yield from map(one, chunks)
        return
    waiting: list[Future[list[str]]] = [
        executor.submit(_in_pool, chunk) for chunk in islice(chunks, ahead)
    ]
    while waiting:
        yield waiting.pop(0).result()
        waiting += [executor.submit(_in_pool, chunk) for chunk in islice(chunks, 1)]


def _convert_rows(
    splits: dict[str, SourceSplit], writer: Writer, link: bool, chunk: list[tuple[str, int]]
) -> list[str]:
    return [_convert_row(splits[name], name, index, writer, link) for name, index in chunk]


def _convert_row(split: SourceSplit, name: str, index: int, writer: Writer, link: bool) -> str:
    try:
        annotation, image = split.dataset.described(index)
        row = ConvertedRow(_name(split, index, image), name, annotation, Path())
        row.image = _place_image(image, row, writer, link)
    except DataError as error:
        return failed_line(error)
    return row.to_line()


def _name(split: SourceSplit, index: int, image: Path | bytes) -> str:
    """Return the name of an image: that of its file, or one by its number."""
    if isinstance(image, Path):
        root, plain = split.image_root, Path(os.path.normpath(image))
        if root is not None and plain.is_relative_to(root := Path(os.path.normpath(root))):
            return plain.relative_to(root).as_posix()
        folder = hashlib.sha1(
            str(plain.parent).encode("utf-8", "surrogatepass"), usedforsecurity=False
        )
        return f"{folder.hexdigest()[:8]}-{plain.name}"
    if (name := split.dataset.image_name(index)) is not None:
        return name
    suffixes = {b"\xff\xd8": "jpg", b"\x89P": "png", b"RI": "webp", b"BM": "bmp", b"GI": "gif"}
    return f"{index:08d}.{suffixes.get(image[:2], 'img')}"


def _place_image(image: Path | bytes, row: ConvertedRow, writer: Writer, link: bool) -> Path:
    if isinstance(image, Path) and not writer.copies_images:
        return image
    folder = writer.folder if writer.copies_images else writer.folder / WORK
    target = folder / writer.image_file(row.name, row.split)
    if not target.resolve().is_relative_to(writer.folder.resolve()):
        raise DataError(f"the image {row.name!r} would be written outside of {writer.folder}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, bytes):
        write_whole(target, image)
        return target
    partial_file = partial_name(target)
    try:
        if not (link and _linked(image, partial_file)):
            shutil.copyfile(image, partial_file)
        partial_file.replace(target)
    finally:
        partial_file.unlink(missing_ok=True)
    return target


def _linked(image: Path, target: Path) -> bool:
    try:
        os.link(image, target)
    except OSError:  # another file system, or one without hard links
        return False
    return True


def _report(rows: RowFile, writer: Writer) -> ConversionReport:
    report = ConversionReport(failures=rows.failures)
    for row in rows:
        report.rows[row.split] += 1
        report.losses += writer.losses(row.annotation)
        report.instances_left_out += sum(not writer.stores(i) for i in row.annotation.instances)
    return report
