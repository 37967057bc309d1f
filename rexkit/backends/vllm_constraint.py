"""Constrained decoding in vLLM: the same grammar behind its logits processor interface.

Import this only where vLLM is installed. The engine takes the class by name,
``LLM(..., logits_processors=["rexkit.backends.vllm_constraint:VLLMConstraint"])``, and a request
brings its form and its limit in ``SamplingParams(extra_args=extra_args(form, max_tokens), ...)``;
over HTTP they go into ``vllm_xargs``. Requests without them are left alone. The interface is that
of the V1 model runner of vLLM 0.32 (``vllm.v1.sample.logits_processor``); where the engine has a V2
runner, ``VLLM_USE_V2_MODEL_RUNNER=0`` chooses V1.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from transformers import AutoTokenizer
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from rexkit.backends.constraint import ChoiceMask
from rexkit.grammar.constrain import Walk
from rexkit.grammar.forms import AnswerForm, from_dict, to_dict
from rexkit.grammar.vocabulary import Vocabulary

_FORM, _LIMIT = "rexkit_form", "rexkit_max_tokens"


def extra_args(form: AnswerForm, max_tokens: int) -> dict[str, Any]:
    """What a request's sampling parameters carry: plain strings and numbers, as HTTP allows."""
    return {_FORM: json.dumps(to_dict(form)), _LIMIT: max_tokens}


class _Row:
    """A request: its walk, and the list to which the engine appends its tokens."""

    def __init__(self, walk: Walk, output: list[int]):
        self.walk = walk
        self.output = output
        self.taken = 0

    def catch_up(self) -> None:
        """Take the tokens that came since; after a preemption, all of them."""
        while self.taken < len(self.output) and self.output[self.taken] >= 0:
            self.walk.advance(self.output[self.taken])
            self.taken += 1


class VLLMConstraint(LogitsProcessor):
    """Keeps each request that brings a form within it."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool):
        model = vllm_config.model_config
        self.mask = ChoiceMask(Vocabulary.of(AutoTokenizer.from_pretrained(model.tokenizer)))
        self.rows: dict[int, _Row] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        args = sampling_params.extra_args or {}
        if _FORM in args:
            from_dict(json.loads(args[_FORM]))
            if not isinstance(args.get(_LIMIT), int):
                raise ValueError(f"{_LIMIT} must say how many tokens the answer may have")

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if batch_update is not None:
            for index in batch_update.removed:
                self.rows.pop(index, None)
            for index, params, _, output in batch_update.added:
                self.rows.pop(index, None)
                args = params.extra_args or {}
                if _FORM in args:
                    form = from_dict(json.loads(args[_FORM]))
                    walk = Walk(form, self.mask.vocabulary, args[_LIMIT])
                    self.rows[index] = _Row(walk, output)
            for source, goal, direction in batch_update.moved:
                moving, resting = self.rows.pop(source, None), self.rows.pop(goal, None)
                if moving is not None:
                    self.rows[goal] = moving
                if direction == MoveDirectionality.SWAP and resting is not None:
                    self.rows[source] = resting

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        rows = [self.rows.get(index) for index in range(len(logits))]
        for row in rows:
            if row is not None:  # only now are the last step's tokens sure to be in its list
                row.catch_up()
        return self.mask(logits, [None if row is None else row.walk.choice for row in rows])
