"""`Predictor`: predictions for images in one's own code."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import ArrayLike

from rexkit.backends import Backend, Generation, Request
from rexkit.errors import DataError, UserError, did_you_mean
from rexkit.formats.image_sources import ImageSource, describe_source, open_source
from rexkit.formats.images import Color, rgb_color
from rexkit.inference.arguments import Arguments
from rexkit.inference.loading import load_backend
from rexkit.inference.masked_results import mask_results
from rexkit.inference.requests import build_request, parse_generation
from rexkit.inference.result import Result
from rexkit.interfaces import Masker
from rexkit.maskers import build_masker
from rexkit.models import VLM
from rexkit.models.pixels import grid_size, resize_to_grid
from rexkit.registry import PARSERS
from rexkit.structures import ImageSize, Question
from rexkit.tasks import QuestionArguments, Task
from rexkit.tasks.categories import clean_arguments

if TYPE_CHECKING:
    from PIL.Image import Image

OnError = Literal["record", "raise"]

WINDOW = 32
"""How many images are given to the backend at once; it sorts them by length into batches."""

_OPENERS = 4  # threads that open the next images while the model generates


class Predictor:
    """Predicts for images with a model.

    Coordinates are pixels of the original, upright image: files, bytes and URLs are rotated by
    their EXIF orientation first. Pillow images and arrays are used as they are, and of animated
    images the first frame.

    Args:
        model: a folder or hub id, "tiny" for the embedded model, or a `VLM`.
        backend: "transformers", "vllm", "openai", the name of any other class of BACKENDS with or
            without "Backend", or a `Backend` object. For one with the ``model_source`` "given",
            the model is loaded here; others get its name.
        options: arguments of the backend (``max_new_tokens``, ``temperature``, ``batch_size``, …)
            and of the model (``max_pixels``, ``adapter``, …), by their own names. A model that is
            loaded here has the ``dtype`` and ``attn_implementation`` that suit the hardware,
            unless they are given.
        background: the colour behind the transparent pixels of images, such as "white" or
            "#404040"; give datasets the same one.
        masks: what makes masks of the predicted boxes, points and polygons: a name of MASKERS, a
            config such as ``dict(type="SAMMasker", model="facebook/sam2.1-hiera-small")``, or a
            `rexkit.interfaces.Masker`. Left out, predictions have no masks.

    Raises:
        ConfigError: no such backend, mask maker or colour, or an option that neither the backend
            nor the model accepts.

    >>> from PIL import Image
    >>> predictor = Predictor("tiny", max_new_tokens=48)
    >>> image = Image.new("RGB", (128, 128), "black")
    >>> image.paste("red", (32, 32, 96, 96))
    >>> [result] = predictor.predict(image, categories=["red square"])
    >>> result.image_size, result.resized_size, result.phrases
    ((128, 128), (128, 128), ['red square'])
    """

    def __init__(
        self,
        model: str | VLM,
        backend: str | Backend = "transformers",
        *,
        background: Color = "white",
        masks: str | Mapping[str, Any] | Masker | None = None,
        **options: Any,
    ):
        self._background = rgb_color(background)
        self._masker = None if masks is None else build_masker(masks)
        self.vlm, self.backend = load_backend(model, backend, options)
        self._parsers: dict[int, Any] = {}
        known: VLM | Backend = self.vlm or self.backend
        tokenizer = getattr(known, "tokenizer", None)
        self._special_tokens: Sequence[str] = sorted(
            tokenizer.get_added_vocab() if tokenizer else ()
        )

    @property
    def image_processor(self) -> Any:
        """The image processor that defines resizing: of the model or the backend, or None."""
        if self.vlm is not None:
            return self.vlm.processor.image_processor  # type: ignore[attr-defined]
        return getattr(self.backend, "image_processor", None)

    def predict(
        self,
        images: ImageSource | Iterable[ImageSource],
        task: str | Task | Sequence[str | Task] = "detection",
        categories: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        keypoint_type: str | Sequence[str | None] | None = None,
        visual_prompt_boxes: ArrayLike | Sequence[ArrayLike] | None = None,
        *,
        batch_size: int | None = None,
        on_error: OnError = "record",
        allow_urls: bool = False,
    ) -> list[Result]:
        """Return the result of every image, in order.

        Args:
            images: an image or several: paths, bytes, arrays, Pillow images, URLs; an iterator
                is read as needed. See `rexkit.formats.image_sources.open_source`.
            task: a task or its name, such as "detection"; a list has one for each image.
            categories: what to look for. A text or a list of texts holds for every image, a list
                of lists has one for each. Runs of white space become single spaces; special tokens
                are an error.
            keypoint_type: the keypoint schema, such as "person"; a list has one for each image.
            visual_prompt_boxes: (N, 4) xyxy pixels of the original image, examples of what to
                look for; one level deeper, one for each image. Boxes are clipped to the image.
            batch_size: how many images are given to the backend at once; left out, `WINDOW`, or
                the backend's own ``batch_size`` if that is more.
            on_error: whether an image that cannot be used gives a result with its ``error``, or
                raises.
            allow_urls: whether ``http://`` and ``https://`` are fetched.

        Raises:
            UserError: an argument is wrong for any image; the message names the argument and the
                image.
            DataError: with ``on_error="raise"``, an image cannot be used.
        """
        return list(
            self.predict_iter(
                images,
                task,
                categories,
                keypoint_type,
                visual_prompt_boxes,
                batch_size=batch_size,
                on_error=on_error,
                allow_urls=allow_urls,
            )
        )

    def predict_iter(
        self,
        images: ImageSource | Iterable[ImageSource],
        task: str | Task | Sequence[str | Task] = "detection",
        categories: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        keypoint_type: str | Sequence[str | None] | None = None,
        visual_prompt_boxes: ArrayLike | Sequence[ArrayLike] | None = None,
        *,
        batch_size: int | None = None,
        on_error: OnError = "record",
        allow_urls: bool = False,
    ) -> Iterator[Result]:
        """Yield the results of `predict`, each as soon as its batch is done.

        At most ``2 * batch_size`` images are held at once, so ``images`` may be endless.
        """
        if on_error not in ("record", "raise"):
            raise UserError(f"on_error: {on_error!r}; {did_you_mean(on_error, OnError.__args__)}")  # type: ignore[attr-defined]
        window = batch_size or max(WINDOW, getattr(self.backend, "batch_size", 0))
        if window < 1:
            raise UserError(f"batch_size must be at least 1, got {batch_size}")
        arguments = Arguments(images, task, categories, keypoint_type, visual_prompt_boxes)
        return self._stream(arguments, window, on_error, allow_urls)

    def _stream(
        self, arguments: Arguments, window: int, on_error: OnError, allow_urls: bool
    ) -> Iterator[Result]:
        rows = iter(arguments)
        with ThreadPoolExecutor(_OPENERS, thread_name_prefix="open") as pool:

            def read_ahead() -> list[_Pending]:
                opened: dict[Any, Future[_Opened]] = {}
                pending = []
                for source, task, its_arguments in islice(rows, window):
                    # Several questions about one image share it, and its way through the model.
                    key = source if isinstance(source, str) else id(source)
                    if key not in opened:
                        opened[key] = pool.submit(self._open, source, allow_urls)
                    pending.append(_Pending(source, task, its_arguments, opened[key]))
                return pending

            number = 0
            ahead = read_ahead()
            while now := ahead:
                ahead = read_ahead()
                yield from self._predict_batch(now, number, on_error, allow_urls)
                number += len(now)

    def _open(self, source: ImageSource, allow_urls: bool) -> _Opened:
        started = time.perf_counter()
        image = open_source(source, allow_urls, self._background)
        size = image.size
        if self.image_processor is not None:  # here, so that few large images are held
            image = resize_to_grid(image, self.image_processor)
        return _Opened(image, size, time.perf_counter() - started)

    def _predict_batch(
        self, batch: Sequence[_Pending], first: int, on_error: OnError, allow_urls: bool
    ) -> Iterator[Result]:
        results: list[Result] = []
        requests: dict[int, Request] = {}
        for position, row in enumerate(batch):
            result = Result(
                row.source, row.task.name, allow_urls=allow_urls, background=self._background
            )
            results.append(result)
            try:
                opened = row.opened.result()
                result.image_size = opened.size
                if self.image_processor is not None:
                    result.resized_size = grid_size(opened.size, self.image_processor)
                question = self._question(row, opened.size, first + position)
                result.prompt, result.phrases = question.prompt, question.phrases
                self._check_length(result)
            except DataError as error:
                if on_error == "raise":
                    raise DataError(error.reason, describe_source(row.source)) from error
                result.error = error.reason
            else:
                result.seconds = opened.seconds
                requests[position] = build_request(opened.image, row.task, question)
        generations = self.backend.generate(list(requests.values())) if requests else []
        for position, generation in zip(requests, generations, strict=True):
            if generation.error is not None:
                if on_error == "raise":
                    raise generation.error
                results[position].error = str(generation.error)
                continue
            self._fill(results[position], batch[position].task, generation)
        if self._masker is not None:
            images = [id(row.opened) for row in batch]
            mask_results(self._masker, results, images, raises=on_error == "raise")
        yield from results

    def _question(self, row: _Pending, size: ImageSize, number: int) -> Question:
        try:
            arguments = clean_arguments(row.arguments, size, self._special_tokens)
            return row.task.question(size, arguments)
        except DataError:
            raise
        except ValueError as error:
            raise UserError(f"image {number} ({describe_source(row.source)}): {error}") from error

    def _check_length(self, result: Result) -> None:
        """Raise a `DataError` if the prompt alone exceeds the model's context length."""
        if self.vlm is None or result.image_size is None:
            return
        context = self.vlm.model.config.get_text_config().max_position_embeddings
        self.vlm.encoder.check_prompt(result.image_size, result.prompt, context)

    def _fill(self, result: Result, task: Task, generation: Generation) -> None:
        started = time.perf_counter()
        if id(task) not in self._parsers:
            # The task is kept beside its parser, or its id could pass to another.
            self._parsers[id(task)] = task, PARSERS.build(task.parser, key=f"{task.name}.parser")
        parser = self._parsers[id(task)][1]
        assert result.image_size is not None  # set before the request was built
        result.prediction = parse_generation(generation, parser, result.image_size, self.backend)
        result.prompt_tokens = generation.prompt_tokens
        result.output_tokens = len(generation.token_ids)
        result.truncated = generation.truncated
        result.generation_seconds = generation.seconds
        result.seconds += generation.seconds + time.perf_counter() - started


@dataclass(slots=True)
class _Opened:
    image: Image
    size: ImageSize
    seconds: float


@dataclass(slots=True)
class _Pending:
    source: ImageSource
    task: Task
    arguments: QuestionArguments
    opened: Future[_Opened]
