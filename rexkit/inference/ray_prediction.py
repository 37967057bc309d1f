"""Prediction of many files on a Ray cluster: `predict_files`, spread over machines.

A Ray Data pipeline: tasks read the files, actors hold a `Predictor` each, tasks draw,
and this process writes. It alone writes to the folder, so every record is written once, and the
work of a worker that dies is repeated by Ray.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rexkit._compat.ray import bind_to_loopback
from rexkit.config import import_modules
from rexkit.errors import DataError, UserError
from rexkit.formats.image_sources import fetch
from rexkit.formats.images import read_image
from rexkit.inference.file_prediction import PredictionWriter, draw
from rexkit.inference.inputs import Input, is_video, open_inputs
from rexkit.inference.result import Result

BATCH = 32
"""The default number of images per batch of a worker."""

_MOST_BLOCKS = 10_000  # more than that Ray spends its time on counting


def start_ray(address: str | None = None) -> Any:
    """Return the ``ray`` module, connected to a cluster or to a Ray started on this machine.

    A Ray that is started here is bound to loopback, has no dashboard and reports no usage; one that
    runs in this process already is taken as it is.

    Args:
        address: of a cluster, as ``ray.init`` takes it; None starts one here. A cluster that
            wants a token wants ``RAY_AUTH_MODE=token`` in the environment, as of every client.

    Raises:
        UserError: Ray is not installed, or there is no cluster at that address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError("Ray Data is not installed: pip install 'rexkit[ray]'") from error
    logging.getLogger("ray.data").setLevel(logging.WARNING)  # otherwise it logs every job
    if ray.is_initialized():
        return ray
    options: dict[str, Any] = {}
    if address is None:
        options["include_dashboard"] = False
    if (address or "127.").startswith("127."):
        bind_to_loopback()
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.WARNING, **options)
    except (ConnectionError, ValueError) as error:
        raise UserError(f"Ray cannot be reached at {address}: {error}") from error
    return ray


def predict_files_on_ray(
    model: str,
    backend: str,
    options: Mapping[str, Any],
    paths: Sequence[str],
    out_dir: Path,
    question: dict[str, Any],
    *,
    run: dict[str, Any] | None = None,
    images: bool = True,
    every: int = 1,
    batch_size: int | None = None,
    address: str | None = None,
    workers: int | None = None,
    visualizer: Any = None,
    imports: Sequence[str] = (),
) -> Iterator[Result]:
    """Predict files on Ray, as `rexkit.inference.file_prediction.predict_files` does.

    The files are the same except for the order of records. Paths must be readable on every
    machine of the cluster; the folder is written here. A run that was begun by either engine is
    finished by the other.

    Args:
        model: of the `Predictor` that each worker builds.
        backend: likewise.
        options: likewise.
        paths: as in `predict_files`, likewise the next five.
        out_dir: the folder of the results.
        question: ``task``, ``categories`` and the like.
        run: what else must be equal when a run continues.
        images: whether to draw the predictions.
        every: predict every N-th frame of a video.
        batch_size: images per batch of a worker.
        address: of the cluster; None starts Ray on this machine.
        workers: how many predictors there are; left out, one for each GPU of the cluster, or one.
        visualizer: as in `predict_files`.
        imports: modules that every worker imports first, for the components they register.

    Yields:
        Each result after it is written, with its key for a source.

    Raises:
        UserError: as `predict_files`; or a worker cannot build its predictor.
    """
    with PredictionWriter(out_dir, {**(run or {}), **question, "every": every}) as records:
        left = [path for path in paths if path not in records.done]
        if not left:
            return
        ray = start_ray(address)
        gpus = int(ray.cluster_resources().get("GPU", 0))
        window = batch_size or BATCH
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        blocks = min(-(-len(left) // window), _MOST_BLOCKS)
        rows = (
            ray.data.from_items([{"path": path} for path in left], override_num_blocks=blocks)
            .flat_map(_read, fn_kwargs={"done": _frames(records.done, left), "every": every})
            .map_batches(
                _Worker,
                fn_constructor_args=(model, backend, dict(options), question, imports),
                batch_size=window,
                batch_format="numpy",
                compute=ray.data.ActorPoolStrategy(size=workers or max(gpus, 1)),
                num_cpus=1,
                num_gpus=min(gpus, 1),
            )
            .map(_finish, fn_kwargs={"images": images, "visualizer": visualizer})
        )
        try:
            for row in rows.iter_rows():
                key, result = row["key"], row["result"]
                if isinstance(result, UserError):
                    raise result
                if key not in records.done:
                    records.add(key, result, row["drawn"] or None)
                    yield result
        except ray.exceptions.RayError as error:
            raise UserError(f"a Ray worker failed: {_reason(str(error))}") from error


# What a user has to know travels as a row: of what a worker raises, Ray keeps only the text.


class _Worker:
    """An actor that holds a predictor."""

    def __init__(
        self,
        model: str,
        backend: str,
        options: dict[str, Any],
        question: dict[str, Any],
        imports: Sequence[str] = (),
    ):
        # Only here, so that the tasks that read and draw start without torch.
        from rexkit.inference.predictor import Predictor

        self.question = question
        self.failure: UserError | None = None
        try:
            import_modules(imports, "--import")
            self.predictor = Predictor(model, backend, **options)
        except UserError as error:
            self.failure = error

    def __call__(self, batch: dict[str, NDArray[np.object_]]) -> dict[str, NDArray[np.object_]]:
        inputs = list(batch["input"])
        failures = [found for found in inputs if isinstance(found, UserError)]
        failure = failures[0] if failures else self.failure
        results: list[Any] = []
        if failure is None:
            try:
                results = self.predictor.predict(
                    [found.source for found in inputs],
                    **self.question,
                    batch_size=len(inputs),
                    allow_urls=True,
                )
            except UserError as error:
                failure = error
        if failure is not None:
            inputs, results = [Input("", b"")], [failure]
        return {"key": _column([found.key for found in inputs]), "result": _column(results)}


def _column(objects: Sequence[Any]) -> NDArray[np.object_]:
    column = np.empty(len(objects), np.object_)
    column[:] = objects
    return column


def _read(
    row: dict[str, str], done: Collection[str], every: int
) -> Iterator[dict[str, Input | UserError]]:
    """Yield an image's bytes, or the frames of a video."""
    try:
        for found in open_inputs([row["path"]], done, every):
            if isinstance(found.source, str):
                found = Input(found.key, _content(found.source))
            yield {"input": found}
    except UserError as error:
        yield {"input": error}


def _content(path: str) -> bytes | str:
    """Return the bytes of a file or URL, or its name, so that the predictor reports the error."""
    try:
        if path.startswith(("http://", "https://")):
            return fetch(path)
        return read_image(Path(path))
    except DataError:
        return path


def _finish(row: dict[str, Any], images: bool, visualizer: Any = None) -> dict[str, Any]:
    """Replace the image's bytes by the drawing."""
    key, result = row["key"], row["result"]
    if isinstance(result, UserError):
        return {**row, "drawn": b""}
    drawn = draw(result, visualizer) if images and result.success else b""
    return {"key": key, "result": replace(result, source=key), "drawn": drawn}


def _frames(done: Collection[str], paths: Sequence[str]) -> set[str]:
    """Of what is done, the frames of videos: images were left out before."""
    videos = set(filter(is_video, paths))
    return {key for key in done if key.rpartition("#")[0] in videos} if videos else set()


def _reason(trace: str) -> str:
    """Return the first error of a worker's trace, which caused the others."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    named = (line for line in lines if re.match(r"[\w.]+(Error|Exception|Died)\b.*:", line))
    return next(named, lines[-1] if lines else "no error message")
