"""Prediction of many files: a record and a drawn image each, resumable at any point."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexkit.errors import DataError, UserError
from rexkit.formats.json_lines import json_text, parse_json
from rexkit.formats.predictions import PREDICTIONS, PredictionRecord, to_line
from rexkit.inference.inputs import is_video, open_inputs
from rexkit.inference.result import Result
from rexkit.tasks import Task
from rexkit.whole_files import write_whole

if TYPE_CHECKING:
    from rexkit.inference.predictor import Predictor

logger = logging.getLogger(__name__)

RUN = "run.json"
IMAGES = "images"

_LONGEST = 80
"""Bytes of the source's name in that of its drawing; file systems take 255 for the whole name."""


def predict_files(
    predictor: Predictor,
    paths: Sequence[str],
    out_dir: Path,
    question: dict[str, Any],
    *,
    run: dict[str, Any] | None = None,
    images: bool = True,
    every: int = 1,
    batch_size: int | None = None,
    visualizer: Any = None,
) -> Iterator[Result]:
    """Predict every file that has no record yet, and write each record at once.

    ``predictions.jsonl`` has a record per image, each written and flushed after its image in
    ``images/``. A run that was killed therefore continues where it stopped: a half-written last
    line is dropped, and no image is lost or predicted twice. An image that cannot be used has a
    record with its ``error`` and is not tried again.

    Args:
        predictor: makes the predictions.
        paths: as `rexkit.inference.inputs.list_inputs` returns them.
        out_dir: the folder of the results.
        question: ``task``, ``categories`` and the like, as `Predictor.predict` takes them.
        run: what else must be equal when a run continues, such as the model's name.
        images: whether to draw the predictions.
        every: predict every N-th frame of a video.
        batch_size: as in `Predictor.predict`.
        visualizer: of VISUALIZERS; if left out, as in `Result.draw`.

    Yields:
        Each result, after it is written.

    Raises:
        UserError: ``out_dir`` holds the results of another run, or a damaged record.
    """
    described = {k: v.prompt_templates if isinstance(v, Task) else v for k, v in question.items()}
    asked = {**(run or {}), **described, "every": every}
    keys: deque[str] = deque()
    with PredictionWriter(out_dir, asked) as records:

        def sources() -> Iterator[Any]:
            for found in open_inputs(paths, records.done, every):
                keys.append(found.key)
                yield found.source

        results = predictor.predict_iter(
            sources(), **question, batch_size=batch_size, allow_urls=True
        )
        for result in results:
            drawn = draw(result, visualizer) if images and result.success else None
            records.add(keys.popleft(), result, drawn)
            yield result


class PredictionWriter:
    """Writes the results of a run: a record per image, each after its drawing.

    Args:
        out_dir: the folder of the results.
        run: what must be equal when a run continues.

    Attributes:
        done: the keys that have a record.

    Raises:
        UserError: ``out_dir`` holds the results of another run, or a damaged record.
    """

    def __init__(self, out_dir: Path, run: dict[str, Any]):
        out_dir.mkdir(parents=True, exist_ok=True)
        _same_run(out_dir / RUN, json.loads(json.dumps(run)))
        self.out_dir = out_dir
        self.done = finished(out_dir / PREDICTIONS)
        if self.done:
            logger.info("%d images have a record already in %s", len(self.done), out_dir)
        self._file = (out_dir / PREDICTIONS).open("a", encoding="utf-8")

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, key: str, result: Result, drawn: bytes | None = None) -> None:
        """Write a drawing, a PNG, under its name only when it is complete, and then the record."""
        record = record_of(key, result)
        if drawn is not None:
            folder = self.out_dir / IMAGES
            folder.mkdir(exist_ok=True)
            path = folder / drawing_name(key)
            write_whole(path, drawn)
            record.drawing = f"{IMAGES}/{path.name}"
        self._file.write(to_line(record.to_dict()))
        self._file.flush()
        self.done.add(key)


def draw(result: Result, visualizer: Any = None) -> bytes:
    """Return the image with its prediction drawn on it, as PNG."""
    file = io.BytesIO()
    result.draw(visualizer).save(file, "PNG")
    return file.getvalue()


def record_of(key: str, result: Result) -> PredictionRecord:
    """Return the record of a result; the key names its image, or the frame of a video."""
    is_file = not key.startswith(("http://", "https://")) and not is_video(key.rpartition("#")[0])
    return PredictionRecord(
        source=key,
        task=result.task,
        prompt=result.prompt,
        phrases=list(result.phrases),
        prediction=result.prediction,
        image_path=key if is_file else None,
        resized_size=result.resized_size,
        truncated=result.truncated,
        num_prompt_tokens=result.prompt_tokens,
        num_output_tokens=result.output_tokens,
        seconds=round(result.generation_seconds, 4),
        error=result.error,
    )


def finished(records: Path) -> set[str]:
    """Return the keys of a file of records, after cutting off an incomplete last line.

    Raises:
        UserError: another line is no record.
    """
    if not records.is_file():
        return set()
    data = records.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        logger.warning("%s: the last line is incomplete and is dropped", records)
        os.truncate(records, len(whole))
    keys = set()
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            keys.add(parse_json(line)["source"])
        except (DataError, KeyError, TypeError) as error:
            raise UserError(f"{records}:{number}: no record; mend or remove the line") from error
    return keys


def drawing_name(key: str) -> str:
    """Return the file name of a drawn image: that of the source, and a hash of its whole path.

    >>> drawing_name("a/cat.jpg"), drawing_name("b/cat.jpg")
    ('cat-cf23868446d9.png', 'cat-078667c0e41e.png')
    """
    video, _, frame = key.partition("#")
    stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(video).stem)
    stem = stem.encode()[:_LONGEST].decode("utf-8", "ignore")
    encoded = key.encode("utf-8", "surrogatepass")
    digest = hashlib.sha1(encoded, usedforsecurity=False).hexdigest()[:12]
    return f"{stem}{f'-{frame}' if frame.isdigit() else ''}-{digest}.png"


def _same_run(file: Path, run: dict[str, Any]) -> None:
    """Write the arguments of the run, or compare them with those already there."""
    before, records = _read_object(file), file.parent / PREDICTIONS
    has_records = records.is_file() and records.stat().st_size > 0
    if before is None and not (file.is_file() and has_records):
        write_whole(file, json_text(run, indent=2) + "\n")
        return
    if before is None:
        raise UserError(
            f"{file} cannot be read, as after a full disk; if {PREDICTIONS} beside it is of the "
            "same question, remove the file to go on, else choose another folder"
        )
    changed = [k for k in {**before, **run} if before.get(k) != run.get(k)]
    if changed:
        key = changed[0]
        raise UserError(
            f"{file.parent} holds the results of another run ({key}: {before.get(key)!r}, now "
            f"{run.get(key)!r}); choose another folder, or remove it"
        )


def _read_object(file: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file, None if there is none that can be read."""
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
