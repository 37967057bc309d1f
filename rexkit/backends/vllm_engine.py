"""Extensions inside a vLLM engine: constraints, presence, bin statistics, new weights.

Import this only where vLLM is installed. The engine takes the classes by name, as
`rexkit.backends.vllm_request` says them, and a request brings what it wants in
``SamplingParams(extra_args=…)``; over HTTP that is ``vllm_xargs``. Requests that bring nothing are
only kept from vision tokens and unused rows of the vocabulary. The interface is that of the V1
model runner of vLLM 0.32 (``vllm.v1.sample.logits_processor``), which
``VLLM_USE_V2_MODEL_RUNNER=0`` chooses.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from rexkit._compat.vllm import logits_processors, repack_embeddings, tokenizer_path
from rexkit.backends.constraint import ChoiceMask
from rexkit.backends.presence import MarginalPresence
from rexkit.backends.recorder import Bins
from rexkit.backends.vllm_request import FORM, LIMIT, PRESENCE, RECORD
from rexkit.grammar.constraint_state import ConstraintState
from rexkit.grammar.forms import from_dict
from rexkit.grammar.vocabulary import Vocabulary
from rexkit.models.vlm import forbidden_ids

_interface = logits_processors()

_KEPT = 4096
"""How many unclaimed statistics are kept; those of clients that disconnected are dropped first."""

_records: OrderedDict[str, _Record] = OrderedDict()
"""Of this worker process, which has one engine: between the processor and the extension below."""


class _Record:
    """The statistics of one answer, a row a token; the last token's wait for who asks."""

    def __init__(self, bins: Bins):
        self.bins = bins
        self.rows: list[torch.Tensor] = []
        self.held: torch.Tensor | None = None

    def finish(self, last_token: int) -> list[list[float]]:
        if self.held is not None:
            taken = torch.tensor([last_token], device=self.held.device)
            self.rows += self.bins.statistics(self.held[None], taken)
        return [row.tolist() for row in torch.stack(self.rows).cpu()] if self.rows else []


class _Row:
    """A request: what it brought, and the list to which the engine appends its tokens."""

    def __init__(
        self,
        output: list[int],
        state: ConstraintState | None = None,
        record: _Record | None = None,
        marginal: bool = False,
    ):
        self.output = output
        self.state = state
        self.record = record
        self.marginal = marginal
        self.taken = 0

    def catch_up(self) -> None:
        """Take the tokens that came since; after a preemption, all of them."""
        while self.taken < len(self.output) and self.output[self.taken] >= 0:
            if self.state is not None:
                self.state.advance(self.output[self.taken])
            self.taken += 1


class Decoding(_interface.LogitsProcessor):  # type: ignore[name-defined]
    """Applies the constraint, presence and recording that each request asks for."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool):
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_path(vllm_config))
        vocabulary = Vocabulary.from_tokenizer(tokenizer)
        self.tokenizer = tokenizer
        self.mask = ChoiceMask(vocabulary)
        self.presence = MarginalPresence(tokenizer)
        self.bins = Bins(vocabulary)
        self.rows: dict[int, _Row] = {}
        self._forbidden: torch.Tensor | None = None

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raise a `ValueError` if the extra arguments of a request are incomplete."""
        args = sampling_params.extra_args or {}
        if FORM in args:
            from_dict(json.loads(args[FORM]))
            if not isinstance(args.get(LIMIT), int):
                raise ValueError(f"{LIMIT} must say how many tokens the answer may have")

    def is_argmax_invariant(self) -> bool:
        """Return False: the most probable token may change."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow the requests that enter, leave and move in the batch."""
        if batch_update is None:
            return
        for index in batch_update.removed:
            self.rows.pop(index, None)
        for index, params, _, output in batch_update.added:
            self.rows[index] = self._row(params.extra_args or {}, output)
        for source, goal, direction in batch_update.moved:
            moving, resting = self.rows.pop(source, None), self.rows.pop(goal, None)
            if moving is not None:
                self.rows[goal] = moving
            if direction == _interface.MoveDirectionality.SWAP and resting is not None:
                self.rows[source] = resting

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits with disallowed tokens masked."""
        rows = [self.rows.get(index, _Row([])) for index in range(len(logits))]
        for row in rows:  # only now are the last step's tokens sure to be in their lists
            row.catch_up()
        self._record(logits, rows)
        if self._forbidden is None:
            forbidden = forbidden_ids(self.tokenizer, logits.shape[1])
            self._forbidden = torch.tensor(forbidden, device=logits.device)
        logits.index_fill_(1, self._forbidden, -torch.inf)
        logits = self.mask(
            logits, [None if row.state is None else row.state.choice for row in rows]
        )
        deciding = [
            i
            for i, row in enumerate(rows)
            if row.marginal and row.output and row.output[row.taken - 1] == self.presence.box_start
        ]
        if deciding:
            logits[deciding] = self.presence.decide(logits[deciding])
        return logits

    def _row(self, args: dict[str, Any], output: list[int]) -> _Row:
        state = record = None
        if FORM in args:
            state = ConstraintState(
                from_dict(json.loads(args[FORM])), self.mask.vocabulary, args[LIMIT]
            )
        if RECORD in args:
            record = _records.setdefault(args[RECORD], _Record(self.bins))
            while len(_records) > _KEPT:
                _records.popitem(last=False)
        return _Row(output, state, record, PRESENCE in args)

    def _record(self, logits: torch.Tensor, rows: list[_Row]) -> None:
        """Settle the last step's statistics, and hold what this step thinks of the bins."""
        recorded = [(i, row, row.record) for i, row in enumerate(rows) if row.record is not None]
        due = [
            (record, row.output[len(record.rows)])
            for _, row, record in recorded
            if record.held is not None and len(record.rows) < row.taken
        ]
        if due:
            logs = torch.stack([record.held for record, _ in due if record.held is not None])
            taken = torch.tensor([token for _, token in due], device=logits.device)
            for (record, _), values in zip(due, self.bins.statistics(logs, taken), strict=True):
                record.rows.append(values)
        if recorded:
            logs, _ = self.bins.logs(logits[[i for i, _, _ in recorded]].float())
            for (_, _, record), values in zip(recorded, logs, strict=True):
                record.held = values


class Worker:
    """Extends the engine's workers: statistics of answers that are done, and new weights."""

    reload_weights: Callable[..., None]  # this and the next are the engine's own
    get_model: Callable[[], torch.nn.Module]

    def take_records(self, last_tokens: dict[str, int]) -> dict[str, list[list[float]]]:
        """Return and drop the statistics of completions by name, a row per token.

        Args:
            last_tokens: names of records, with the token that ended the answer.
        """
        return {
            name: _records.pop(name).finish(token)
            for name, token in last_tokens.items()
            if name in _records
        }

    def take_weights(self, file: str) -> None:
        """Take the weights in a safetensors file, under the names of the checkpoint."""
        self.reload_weights(weights_iterator=iter(load_file(file).items()))
        repack_embeddings(self.get_model())
