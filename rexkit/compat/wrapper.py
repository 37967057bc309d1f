"""`RexOmniWrapper`: the model class of the public Rex-Omni package."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rexkit.compat.model_options import END_OF_TURN_STOP, sampling_options, split_options
from rexkit.compat.task_types import TaskType, build_task, find_task_type, find_task_types
from rexkit.inference.arguments import Arguments
from rexkit.tasks import QuestionArguments, Task

if TYPE_CHECKING:
    from rexkit.inference.result import Result

_KEYPOINT_KEYS = ("type", "bbox", "keypoints", "instance_id")


class RexOmniWrapper:
    """Load a model and predict, with the arguments and records of the public Rex-Omni wrapper.

    Args:
        model_path: a folder or hub id, such as "IDEA-Research/Rex-Omni", or "tiny" for the model
            that rexkit contains.
        backend: "transformers", "vllm", or another of BACKENDS, in any case.
        system_prompt: left out, that of the checkpoint; for the released weights that is
            ``You are a helpful assistant``, as in the public wrapper.
        min_pixels, max_pixels: budget of a resized image; left out, those of the checkpoint; for
            the released weights they are 16 · 28² and 2560 · 28², as in the public wrapper.
        max_tokens: the longest completion, in tokens.
        temperature: 0 takes the most probable token each time.
        top_p: samples from the most probable tokens whose probabilities sum to this.
        top_k: samples from this many most probable tokens; 0 or -1 from all.
        repetition_penalty: above 1, tokens that were used before become less probable.
        skip_special_tokens: leave special tokens out of ``raw_output``. The predictions are read
            from the whole text all the same.
        stop: texts that end a completion, for each backend; the public wrapper has them for vLLM
            only.
        quantization: as vLLM takes it, such as "awq".
        options: arguments of the model or engine. With transformers: ``torch_dtype``,
            ``attn_implementation``, ``device_map``; left out, those that suit the hardware, which
            on a GPU are bfloat16 and, where it is installed, FlashAttention-2. With vLLM those of
            ``vllm.EngineArgs``; ``max_model_len`` is 4096 and ``gpu_memory_utilization`` 0.8 unless
            given, as in the public wrapper. What has no effect here, such as
            ``trust_remote_code``, is ignored with one warning.

    Attributes:
        predictor: the `rexkit.Predictor` that does the work.
        model: the transformers model or vLLM engine.
        processor: the processor of the model; None for vLLM.

    Raises:
        ConfigError: there is no such backend, or an argument is out of range or unknown.

    >>> from PIL import Image
    >>> rex = RexOmniWrapper("tiny", max_tokens=48)
    >>> image = Image.new("RGB", (128, 128), "black")
    >>> image.paste("red", (32, 32, 96, 96))
    >>> [result] = rex.inference(images=image, task="Detection", categories="red square")
    >>> result["success"], result["task"], list(result["extracted_predictions"])
    (True, 'detection', ['red square'])
    """

    def __init__(
        self,
        model_path: str,
        backend: str = "transformers",
        system_prompt: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        max_tokens: int = 4096,
        temperature: float = 0.0,
        top_p: float = 0.8,
        top_k: int = 1,
        repetition_penalty: float = 1.05,
        skip_special_tokens: bool = False,
        stop: Sequence[str] | None = None,
        quantization: str | None = None,
        **options: Any,
    ):
        from rexkit.inference.predictor import Predictor

        self.model_path = model_path
        self.backend = self.model_type = backend.lower()
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.top_p = top_p
        self.top_k = top_k
        self.repetition_penalty = repetition_penalty
        self.skip_special_tokens = skip_special_tokens
        self.stop = list(stop or [END_OF_TURN_STOP])
        self.quantization = quantization
        engine, ignored = split_options(self.backend, options, quantization)
        _warn("RexOmniWrapper", ignored)
        settings: dict[str, Any] = {
            "system_prompt": system_prompt,
            "min_pixels": min_pixels,
            "max_pixels": max_pixels,
        }
        self.predictor = Predictor(
            model_path,
            self.backend,
            stop=[text for text in self.stop if text != END_OF_TURN_STOP],
            **sampling_options(max_tokens, temperature, top_p, top_k, repetition_penalty),
            **{name: value for name, value in settings.items() if value is not None},
            **engine,
        )
        vlm, generator = self.predictor.vlm, self.predictor.backend
        self.model: Any = getattr(generator, "engine", None) if vlm is None else vlm.model
        self.processor: Any = None if vlm is None else vlm.processor
        size = getattr(self.predictor.image_processor, "size", {})
        self.min_pixels: int | None = size.get("shortest_edge", min_pixels)
        self.max_pixels: int | None = size.get("longest_edge", max_pixels)
        encoder = getattr(generator if vlm is None else vlm, "encoder", None)
        self.system_prompt: str | None = getattr(encoder, "system_prompt", system_prompt)

    def inference(
        self,
        images: Any,
        task: str | TaskType | Sequence[str | TaskType],
        categories: str | Sequence[str] | Sequence[Sequence[str]] | None = None,
        keypoint_type: str | Sequence[str | None] | None = None,
        visual_prompt_boxes: Any = None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """Predict for images and return one record for each, in order.

        Records differ from those of the public wrapper where that one is at fault or at odds with
        the grammar of the responses:

        - A box or point that the token limit cut off is left out; the public parser takes the part
          that is there for another geometry.
        - The corners of an inverted box are put in order, and coordinates above ``<999>`` are left
          out. Everything else is bin / 999 · size in both.
        - A category is the whole text before the number of an instance ("polar bear" of "polar
          bear1"), and a phrase may contain ``<``.
        - Keypoints that cannot be read are left out, and the schema "hand" can be asked for.
        - ``num_output_tokens`` and ``raw_output`` are without the padding of the batch.
        - An image that cannot be used has a record with ``success`` False and the reason in
          ``error``; the others are predicted.

        Args:
            images: a Pillow image or several; also whatever `rexkit.Predictor.predict` takes.
            task: a `TaskType` or its value in any case; a list has one for each image.
            categories: a text or a list of texts for every image, or a list of lists.
            keypoint_type: "person", "animal" or "hand"; a list has one for each image.
            visual_prompt_boxes: xyxy pixels: a box or a list of boxes for every image, or a list
                of lists.
            options: ignored with one warning. Arguments that the task of an image does not use,
                such as categories of visual prompting, are ignored too.

        Returns:
            For each image ``success``, ``image_size`` and ``resized_size`` (width, height),
            ``task``, ``prompt``, ``raw_output``, ``extracted_predictions``, ``inference_time`` and
            ``generation_time`` of the whole call in seconds, ``num_output_tokens``,
            ``num_prompt_tokens`` and ``tokens_per_second``. ``extracted_predictions`` is
            ``{category: [{"type": "box", "coords": [x0, y0, x1, y1]}, …]}`` in pixels of the image;
            types are "box", "point", "polygon" (``coords`` are pairs) and "keypoint" (``bbox``,
            ``keypoints``, ``instance_id`` in place of ``coords``).

        Raises:
            UserError: there is no such task, an argument that it needs is missing, or a list has
                another length than the images.
        """
        started = time.perf_counter()
        several = isinstance(task, (list, tuple))
        given: Any = find_task_types(task) if several else find_task_type(task)
        tasks = {t: build_task(t) for t in (given if several else [given])}
        questions = _Questions(unused=[f"{name} (reserved)" for name in options])
        for row in Arguments(
            images,
            [tasks[t] for t in given] if several else tasks[given],
            categories,
            keypoint_type,
            visual_prompt_boxes,
        ):
            questions.add(*row)
        _warn("inference", questions.unused)
        results = self.predictor.predict(
            questions.images,
            questions.tasks,
            questions.categories,
            questions.keypoint_types,
            questions.boxes,
        )
        generation = sum(result.generation_seconds for result in results)
        seconds = time.perf_counter() - started
        types = given if several else [given] * len(results)
        return [
            self._record(result, task_type)
            | {
                "inference_time": seconds,
                "generation_time": generation,
                "tokens_per_second": result.output_tokens / generation if generation > 0 else 0,
            }
            for result, task_type in zip(results, types, strict=True)
        ]

    def _record(self, result: Result, task_type: TaskType) -> dict[str, Any]:
        record = result.to_dict()
        found = {
            category: [
                {name: entry[name] for name in _KEYPOINT_KEYS if name in entry}
                if entry["type"] == "keypoint"
                else {name: entry[name] for name in ("type", "coords")}
                for entry in entries
                if entry["coords"] is not None  # an instance with keypoints may lack its box
            ]
            for category, entries in record["extracted_predictions"].items()
        }
        return record | {
            "task": task_type.value,
            "raw_output": self._raw_output(result),
            "extracted_predictions": found,
        }

    def _raw_output(self, result: Result) -> str:
        """Return the text as the public wrapper does: transformers' with the end of the turn."""
        text = result.text
        if self.skip_special_tokens:
            known = self.predictor.vlm or self.predictor.backend
            tokenizer = getattr(known, "tokenizer", None)
            for token in getattr(tokenizer, "added_tokens_decoder", {}).values():
                text = text.replace(token.content, "") if token.special else text
            return text
        ended = result.success and not result.truncated
        return text + END_OF_TURN_STOP if ended and self.backend == "transformers" else text


@dataclass
class _Questions:
    """The arguments of the images, each without those that its task does not use."""

    unused: list[str]
    images: list[Any] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    categories: list[Sequence[str]] = field(default_factory=list)
    keypoint_types: list[str | None] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)

    def add(self, image: Any, task: Task, arguments: QuestionArguments) -> None:
        """Add an image with what is asked about it."""
        kept = QuestionArguments()
        for name in arguments.given:
            if name in task.accepts:
                setattr(kept, name, getattr(arguments, name))
            else:
                self.unused.append(f"{name} (not of the task {task.name!r})")
        self.images.append(image)
        self.tasks.append(task)
        self.categories.append(list(kept.categories))
        self.keypoint_types.append(kept.keypoint_type)
        # Two levels for each image, so that the list of all is never taken for boxes of each.
        boxes = kept.visual_prompt_boxes
        alone = isinstance(boxes, (list, tuple)) and not any(np.ndim(box) for box in boxes)
        self.boxes.append([boxes] if alone else boxes)


def _warn(where: str, ignored: Sequence[str]) -> None:
    """Warn once of everything that is ignored."""
    if ignored:
        listing = ", ".join(dict.fromkeys(ignored))
        warnings.warn(f"{where} ignores {listing}", UserWarning, stacklevel=3)
