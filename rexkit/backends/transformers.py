"""Generation by transformers, in batches of similar length."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessorList

from rexkit.backends.base import Backend, Generation, Request
from rexkit.backends.presence import MarginalPresence, Presence
from rexkit.models import VLM
from rexkit.registry import BACKENDS


@BACKENDS.register_module()
class TransformersBackend(Backend):
    """Answers with a model in this process.

    Vision tokens and unused rows of the vocabulary are never generated.

    Args:
        vlm: the model; its device is used as it is.
        batch_size: requests in one forward pass.
        max_new_tokens: the longest answer; longer ones are cut off and marked so.
        temperature: 0 takes the likeliest token each time, above 0 samples.
        top_p: share of the probability that sampling draws from.
        presence: how ``None`` is decided: "token" takes the likeliest token as it is, "marginal"
            weighs ``None`` against all coordinate tokens together (see `MarginalPresence`).
        seed: of sampling.
    """

    def __init__(
        self,
        vlm: VLM,
        batch_size: int = 16,
        max_new_tokens: int = 1024,
        temperature: float = 0.0,
        top_p: float = 1.0,
        presence: Presence = "token",
        seed: int = 0,
    ):
        self.vlm = vlm
        self.batch_size = batch_size
        self.seed = seed
        tokenizer = vlm.tokenizer
        sampling = {"temperature": temperature, "top_p": top_p} if temperature > 0 else {}
        self.generation_config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=temperature > 0,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            suppress_tokens=vlm.forbidden_ids(),
            **sampling,
        )
        self.processors = LogitsProcessorList()
        if presence == "marginal":
            self.processors.append(MarginalPresence(tokenizer))

    @torch.inference_mode()
    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        model = self.vlm.model
        was_training = model.training
        model.eval()
        if self.generation_config.do_sample:
            torch.manual_seed(self.seed)
        answers: dict[int, Generation] = {}
        try:
            order = sorted(range(len(requests)), key=lambda i: _length(requests[i]), reverse=True)
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                batch = self._answer([requests[i] for i in rows])
                answers.update(zip(rows, batch, strict=True))
        finally:
            model.train(was_training)
        return [answers[i] for i in range(len(requests))]

    def _answer(self, requests: list[Request]) -> list[Generation]:
        started = time.perf_counter()
        model: Any = self.vlm.model
        tokenizer = self.vlm.tokenizer
        inputs = self.vlm.encoder.questions(
            [r.image for r in requests], [r.prompt for r in requests]
        )
        inputs = {name: value.to(model.device) for name, value in inputs.items()}
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        output = model.generate(
            **inputs, generation_config=self.generation_config, logits_processor=self.processors
        )
        answers = output[:, inputs["input_ids"].shape[1] :].cpu().numpy()
        lengths = inputs["attention_mask"].sum(1).tolist()
        seconds = (time.perf_counter() - started) / len(requests)
        generations = []
        for row, prompt_tokens in zip(answers, lengths, strict=True):
            ends = np.flatnonzero(row == tokenizer.eos_token_id)
            ids = row[: ends[0] + 1] if len(ends) else row
            text = tokenizer.decode(ids[: ends[0]] if len(ends) else ids)
            generations.append(
                Generation(text, ids.tolist(), int(prompt_tokens), seconds, not len(ends))
            )
        return generations


def _length(request: Request) -> int:
    """A guess at the number of tokens, good enough to put like with like."""
    width, height = request.image.size
    return width * height // 784 + len(request.prompt) // 4
