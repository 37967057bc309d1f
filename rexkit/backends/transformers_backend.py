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
from rexkit.backends.shared_images import VisionTower, prefilled, with_images
from rexkit.grammar.vocabulary import Vocabulary
from rexkit.models import VLM
from rexkit.registry import BACKENDS


@BACKENDS.register_module()
class TransformersBackend(Backend):
    """Answers with a model in this process.

    Vision tokens and unused rows of the vocabulary are never generated. Requests that hold the
    same image object share it: it goes through the vision tower once a call, and through the
    language model once a batch.

    Args:
        vlm: the model; its device is used as it is.
        batch_size: requests in one forward pass.
        max_new_tokens: the longest answer; longer ones are cut off and marked so.
        temperature: 0 takes the likeliest token each time, above 0 samples.
        top_p: share of the probability that sampling draws from.
        presence: how ``None`` is decided: "token" takes the likeliest token as it is, "marginal"
            weighs ``None`` against all coordinate tokens together (see `MarginalPresence`).
        seed: of sampling.
        constrain: keep every answer within its request's ``constraint``: it reads without a
            problem and ends in time, whatever the weights. Every request must have one.
        scores: record log-probabilities, from which `rexkit.backends.scores` makes scores.
        static_cache: keep keys and values in tensors of fixed size. On a GPU transformers then
            compiles the step of generation, once for each shape of batch, which can pay for long
            answers in many batches of one shape; on a CPU it compiles nothing and takes longer.
            Questions about one image then share its way through the vision tower only.

    Raises:
        ValueError: with ``constrain``, a request without a constraint, or one that has no answer
            within ``max_new_tokens``.
    """

    model_source = "given"

    def __init__(
        self,
        vlm: VLM,
        batch_size: int = 16,
        max_new_tokens: int = 1024,
        temperature: float = 0.0,
        top_p: float = 1.0,
        presence: Presence = "token",
        seed: int = 0,
        constrain: bool = False,
        scores: bool = True,
        static_cache: bool = False,
    ):
        self.vlm = vlm
        self.batch_size = batch_size
        self.seed = seed
        tokenizer = vlm.tokenizer
        # transformers would draw from the 50 likeliest tokens only, unless told otherwise.
        sampling = {"temperature": temperature, "top_p": top_p, "top_k": 0}
        self.generation_config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=temperature > 0,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            suppress_tokens=vlm.forbidden_ids(),
            cache_implementation="static" if static_cache else None,
            **(sampling if temperature > 0 else {}),
        )
        self.vocabulary: Vocabulary = Vocabulary.from_tokenizer(tokenizer)
        self.mask = ChoiceMask(self.vocabulary) if constrain else None
        self.presence = MarginalPresence(tokenizer) if presence == "marginal" else None
        self.scores = scores
        self.static_cache = static_cache

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        model = self.vlm.model
        was_training = model.training
        model.eval()
        if self.generation_config.do_sample:
            torch.manual_seed(self.seed)
        answers: dict[int, Generation] = {}
        tower = VisionTower(self.vlm, requests)
        try:
            order = _order(requests)
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                batch = self._answer([requests[i] for i in rows], tower)
                answers.update(zip(rows, batch, strict=True))
        finally:
            model.train(was_training)
        return [answers[i] for i in range(len(requests))]

    def _answer(self, requests: list[Request], tower: VisionTower) -> list[Generation]:
        started = time.perf_counter()
        model: Any = self.vlm.model
        tokenizer = self.vlm.tokenizer
        seen = tower.see([request.image for request in requests])
        prompts = self.vlm.encoder.prompt_ids(
            torch.stack([image.grid for image in seen]), [r.prompt for r in requests]
        )
        inputs: dict[str, Any]
        if len(set(map(id, seen))) < len(seen) and not self.static_cache:
            inputs = prefilled(self.vlm, prompts, seen)
        else:
            padded = self.vlm.encoder.left_padded(prompts)
            inputs = {name: value.to(model.device) for name, value in padded.items()}
            inputs |= with_images(seen)
        recorder = Recorder(self.vocabulary) if self.scores else None
        output = model.generate(
            **inputs,
            generation_config=self.generation_config,
            logits_processor=self._processors(requests, recorder),
        )
        output = output[:, inputs["input_ids"].shape[1] :]
        if recorder is not None:
            recorder.finish(output)
        answers = output.cpu().numpy()
        seconds = (time.perf_counter() - started) / len(requests)
        generations = []
        for number, (row, prompt) in enumerate(zip(answers, prompts, strict=True)):
            ends = np.flatnonzero(row == tokenizer.eos_token_id)
            ids = row[: ends[0] + 1] if len(ends) else row
            text = tokenizer.decode(ids[: ends[0]] if len(ends) else ids)
            record = recorder.row(number, len(ids)) if recorder else (None, None)
            generations.append(
                Generation(text, ids.tolist(), len(prompt), seconds, not len(ends), *record)
            )
        return generations

    def _processors(
        self, requests: list[Request], recorder: Recorder | None
    ) -> LogitsProcessorList:
        """Those of one batch: record what the model thinks, then rule out, then decide."""
        processors = LogitsProcessorList()
        if recorder is not None:
            processors.append(recorder)
        if self.mask is not None:
            forms = [request.form() for request in requests]
            most = self.generation_config.max_new_tokens
            processors.append(GrammarConstraint(self.mask, forms, most))
        if self.presence is not None:
            processors.append(self.presence)
        return processors


def _order(requests: Sequence[Request]) -> list[int]:
    """Like lengths together, and within about a fifth of a length the same images together."""
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
    """A guess at the number of tokens, good enough to put like with like."""
    width, height = request.image.size
    return width * height // 784 + len(request.prompt) // 4 + 1
