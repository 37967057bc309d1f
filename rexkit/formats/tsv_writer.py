"""The three files of a TSV dataset, written so that they appear whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO


class TSVWriter:
    """Writes what `TSVDataset` reads.

    Rows go to temporary files beside the three, which take their names at `commit`. Without it,
    because of an error or because nobody called it, they are removed, and what was there before is
    as it was.

    Args:
        images: path of the ``*.images.tsv`` to write.
        annotations: path of the ``*.annotations.tsv``.
        lineidx: path of its index.

    Any dataset can be written so::

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
    ):
        self.paths = [Path(images), Path(annotations), Path(lineidx)]
        if len({path.resolve() for path in self.paths}) < 3:
            raise ValueError(f"the three files must be different ones, got {self.paths}")
        self.rows = 0
        self._temporary = [path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in self.paths]
        self._places: dict[bytes, int] = {}
        self._open = ExitStack()

    def __enter__(self) -> TSVWriter:
        try:
            for path in self._temporary:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._files: list[BinaryIO] = [
                self._open.enter_context(path.open("wb")) for path in self._temporary
            ]
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
        self._discard()

    def write(self, image: bytes, record: Any) -> None:
        """Add a row.

        Args:
            image: an encoded image; one that was written before is not stored again.
            record: what `rexkit.formats.annotation_records.read_record` reads, such as
                ``to_record(annotation)``.
        """
        images, annotations, lineidx = self._files
        digest = hashlib.sha256(image).digest()
        if digest not in self._places:
            self._places[digest] = images.tell()
            images.write(b"%d\t%b\n" % (images.tell(), base64.b64encode(image)))
        lineidx.write(b"%d\n" % annotations.tell())
        text = json.dumps(record, ensure_ascii=False)
        annotations.write(b"%d\t%b\n" % (self._places[digest], text.encode()))
        self.rows += 1

    def commit(self) -> None:
        """Give the files their names."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        self._open.close()
        # The old index goes first and the new one comes last: at no moment do old and new files
        # pass for a dataset.
        self.paths[2].unlink(missing_ok=True)
        for temporary, path in zip(self._temporary, self.paths, strict=True):
            temporary.replace(path)

    def _discard(self) -> None:
        self._open.close()
        for path in self._temporary:
            path.unlink(missing_ok=True)
