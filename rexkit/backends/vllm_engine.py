"""Extensions inside a vLLM engine: constraints, presence, bin statistics, new weights.

Import this only where vLLM is installed. The engine loads the classes by the names in
`rexkit.backends.vllm_request`. A request enables an extension in
``SamplingParams(extra_args=…)``, which is ``vllm_xargs`` over HTTP. For other requests only vision
tokens and unused rows of the vocabulary are masked. The interface is that of the V1 model runner
of vLLM 0.32 (``vllm.v1.sample.logits_processor``), selected by ``VLLM_USE_V2_MODEL_RUNNER=0``.
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
"""How many unclaimed records are kept; beyond it the oldest are dropped."""

_records: OrderedDict[str, _Record] = OrderedDict()
"""The records of this worker process: `Decoding` fills them, and `Worker` returns them."""


class _Record:
    """The bin statistics of one completion, one row per token.

    The row of a token needs the token itself, which the next step gives. So the row of the last
    token is computed in `finish`.
    """

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
    """A request: its extra arguments, and the list to which the engine appends its tokens."""

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
        """Process the tokens generated since the last call; after a preemption, all of them."""
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
                raise ValueError(f"{LIMIT} must be the maximum number of tokens, a whole number")

    def is_argmax_invariant(self) -> bool:
        """Return False: the most probable token may change."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Apply the requests that were added, removed and moved in the batch."""
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
        for row in rows:  # the last step's tokens are only now guaranteed to be in their lists
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
        """Compute the last step's statistics, and keep the log-probabilities of this step."""
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
    """Extends the engine's workers: bin statistics of finished completions, and new weights."""

    reload_weights: Callable[..., None]  # this and the next are methods of the engine's worker
    get_model: Callable[[], torch.nn.Module]

    def take_records(self, last_tokens: dict[str, int]) -> dict[str, list[list[float]]]:
        """Return and drop the statistics of completions by name, one row per token.

        Args:
            last_tokens: names of records, each with the last token of its completion.
        """
        return {
            name: _records.pop(name).finish(token)
            for name, token in last_tokens.items()
            if name in _records
        }

    def take_weights(self, file: str) -> None:
        """Load the weights in a safetensors file, under the names of the checkpoint."""
        self.reload_weights(weights_iterator=iter(load_file(file).items()))
        repack_embeddings(self.get_model())
