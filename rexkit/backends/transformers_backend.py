"""Generation by transformers, in batches of similar length."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessorList

from rexkit.backends.backend import Backend, Generation, Request
from rexkit.backends.constraint import ChoiceMask, GrammarConstraint
from rexkit.backends.presence import MarginalPresence, Presence
from rexkit.backends.recorder import Recorder
from rexkit.backends.repetition_penalty import RepetitionPenalty
from rexkit.backends.sampling import SamplingParams, check_stop
from rexkit.backends.shared_images import VisionTower, image_arguments, prefilled
from rexkit.grammar.vocabulary import Vocabulary
from rexkit.models import VLM
from rexkit.models.generation_defaults import without_generation_defaults
from rexkit.registry import BACKENDS
from rexkit.structures import Example


@BACKENDS.register_module()
class TransformersBackend(Backend):
    """Generates with a model in this process.

    Vision tokens and unused rows of the vocabulary are never generated. An image object that
    several requests have in common goes through the vision tower once per call, and through the
    language model once per batch.

    Args:
        vlm: the model; its device is used as it is.
        batch_size: requests in one forward pass.
        presence: how ``None`` is decided: "token" takes the most probable token, "marginal"
            compares ``None`` with all coordinate tokens together (see `MarginalPresence`).
        seed: of sampling.
        constrain: generate nothing outside a request's ``constraint``: every completion parses
            without problems and is complete, whatever the weights. Every request must have one.
        scores: record log-probabilities, from which `rexkit.backends.scores` computes scores.
        static_cache: keep keys and values in tensors of fixed size. On a GPU transformers then
            compiles the decoding step once per batch shape, which can be faster for long
            completions in many batches of one shape. On a CPU it is not compiled, and slower.
            Requests with the same image then share only its pass through the vision tower.
        sampling: the fields of `SamplingParams`, such as ``max_new_tokens``.

    Raises:
        ConfigError: a sampling parameter is out of range, or ``stop`` is given with ``constrain``.
        ValueError: with ``constrain``, a request without a constraint, or one without a completion
            within ``max_new_tokens``.
    """

    model_source = "given"

    def __init__(
        self,
        vlm: VLM,
        batch_size: int = 16,
        presence: Presence = "token",
        seed: int = 0,
        constrain: bool = False,
        scores: bool = True,
        static_cache: bool = False,
        **sampling: Any,
    ):
        self.vlm = vlm
        self.batch_size = batch_size
        self.seed = seed
        tokenizer = vlm.tokenizer
        self.sampling = SamplingParams(**sampling)
        check_stop(self.sampling, constrain)
        self.generation_config = GenerationConfig(
            **self.sampling.for_transformers(),
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            suppress_tokens=vlm.forbidden_ids(),
            cache_implementation="static" if static_cache else None,
        )
        self.vocabulary: Vocabulary = Vocabulary.from_tokenizer(tokenizer)
        self.mask = ChoiceMask(self.vocabulary) if constrain else None
        self.presence = MarginalPresence(tokenizer) if presence == "marginal" else None
        self.scores = scores
        self.static_cache = static_cache

    @classmethod
    def extra_arguments(cls) -> set[str]:
        """Return the names of the sampling parameters."""
        return SamplingParams.names()

    def check(self, example: Example) -> None:
        """Check the shape of the image, and that the prompt leaves room in the context."""
        context = self.vlm.model.config.get_text_config().max_position_embeddings
        self.vlm.encoder.check_prompt(example.image.size, example.prompt, context, example.source)

    @torch.no_grad()  # inference tensors would stay in the model under ZeRO-3
    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Return one generation for each request, in order."""
        model = self.vlm.model
        was_training = model.training
        model.eval()
        if self.sampling.temperature > 0:
            torch.manual_seed(self.seed)
        generations: dict[int, Generation] = {}
        tower = VisionTower(self.vlm, requests)
        try:
            order = _order(requests)
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                batch = self._generate([requests[i] for i in rows], tower)
                generations.update(zip(rows, batch, strict=True))
        finally:
            model.train(was_training)
        return [generations[i] for i in range(len(requests))]

    def _generate(self, requests: list[Request], tower: VisionTower) -> list[Generation]:
        started = time.perf_counter()
        model: Any = self.vlm.model
        tokenizer = self.vlm.tokenizer
        encoded = tower.encode([request.image for request in requests])
        prompts = self.vlm.encoder.prompt_ids(
            torch.stack([image.grid for image in encoded]), [r.prompt for r in requests]
        )
        inputs: dict[str, Any]
        if len(set(map(id, encoded))) < len(encoded) and not self.static_cache:
            inputs = prefilled(self.vlm, prompts, encoded)
        else:
            padded = self.vlm.encoder.left_padded(prompts)
            inputs = {name: value.to(model.device) for name, value in padded.items()}
            inputs |= image_arguments(encoded)
        recorder = Recorder(self.vocabulary) if self.scores else None
        processors = self._processors(requests, recorder, inputs["attention_mask"])
        with without_generation_defaults(model):
            output = model.generate(
                **inputs,
                generation_config=self.generation_config,
                logits_processor=processors,
                tokenizer=tokenizer if self.sampling.stop else None,
            )
        output = output[:, inputs["input_ids"].shape[1] :]
        if recorder is not None:
            recorder.finish(output)
        completions = output.cpu().numpy()
        seconds = (time.perf_counter() - started) / len(requests)
        generations = []
        for number, (row, prompt) in enumerate(zip(completions, prompts, strict=True)):
            ids, ended = self._completion(row)
            text = tokenizer.decode(ids[:-1] if ended else ids)
            text, stopped = self.sampling.cut_at_stop(text)
            record = recorder.row(number, len(ids)) if recorder else (None, None)
            truncated = not (ended or stopped)
            generations.append(
                Generation(text, ids.tolist(), len(prompt), seconds, truncated, *record)
            )
        return generations

    def _completion(self, row: Any) -> tuple[Any, bool]:
        """Return the generated tokens of a row, and whether the last one ends the turn."""
        ends = np.flatnonzero(row == self.vlm.tokenizer.eos_token_id)
        if len(ends):
            return row[: ends[0] + 1], True
        if self.sampling.stop:  # a row that a stop text has ended is padded
            kept = np.flatnonzero(row != self.vlm.tokenizer.pad_token_id)
            row = row[: kept[-1] + 1] if len(kept) else row[:0]
        return row, False

    def _processors(
        self, requests: list[Request], recorder: Recorder | None, attention_mask: torch.Tensor
    ) -> LogitsProcessorList:
        """Return the processors of one batch: recording, constraint, presence, then the penalty."""
        processors = LogitsProcessorList()
        if recorder is not None:
            processors.append(recorder)
        if self.mask is not None:
            forms = [request.form() for request in requests]
            most = self.sampling.max_new_tokens
            processors.append(GrammarConstraint(self.mask, forms, most))
        if self.presence is not None:
            processors.append(self.presence)
        if self.sampling.repetition_penalty != 1:
            penalty = self.sampling.repetition_penalty
            processors.append(RepetitionPenalty(penalty, attention_mask))
        return processors


def _order(requests: Sequence[Request]) -> list[int]:
    """Sort by length, and requests of about equal length by image."""
    lengths = [_length(request) for request in requests]
    groups = [
        (round(4 * math.log2(n)), id(r.image)) for n, r in zip(lengths, requests, strict=True)
    ]
    longest: dict[tuple[int, int], int] = {}
    for group, length in zip(groups, lengths, strict=True):
        longest[group] = max(length, longest.get(group, 0))
    keys = [
        (group[0], longest[group], group[1], length)
        for group, length in zip(groups, lengths, strict=True)
    ]
    return sorted(range(len(requests)), key=keys.__getitem__, reverse=True)


def _length(request: Request) -> int:
    """Return an estimate of the number of tokens, to sort by."""
    width, height = request.image.size
    return width * height // 784 + len(request.prompt) // 4 + 1
