"""What rexkit does inside a vLLM engine, over a stand-in with vLLM's names and calls.

tests/test_vllm.py asks the real one; here a batch is moved about as no short run would do it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from enum import Enum, auto
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rexkit.backends.backend import BinStatistics
from rexkit.backends.recorder import Recorder
from rexkit.backends.vllm_request import extra_args, statistics_of
from rexkit.grammar import SpanForm
from rexkit.grammar.vocabulary import Vocabulary
from rexkit.models import TinyVLM


@pytest.fixture(scope="module")
def untrained():
    return TinyVLM(weights=None)


@pytest.fixture(scope="module")
def vocabulary(untrained):
    return Vocabulary.from_tokenizer(untrained.tokenizer)


@dataclass
class _BatchUpdate:
    """As in vLLM 0.32."""

    batch_size: int
    removed: list[int]
    added: list[tuple[int, Any, list[int], list[int]]]
    moved: list[tuple[int, int, Any]]


class _Moves(Enum):
    UNIDIRECTIONAL = auto()
    SWAP = auto()


@pytest.fixture
def decoding(monkeypatch, untrained, tmp_path):
    """The module, over a stand-in with the names and calls of vLLM's interface."""
    interface = ModuleType("vllm.v1.sample.logits_processor")
    interface.LogitsProcessor = object
    interface.BatchUpdate = _BatchUpdate
    interface.MoveDirectionality = _Moves
    layers = ModuleType("vllm.model_executor.layers.vocab_parallel_embedding")
    layers.VocabParallelEmbedding = object
    for module in (interface, layers):
        parts = module.__name__.split(".")
        for end in range(1, len(parts)):
            name = ".".join(parts[:end])
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "rexkit.backends.vllm_engine", raising=False)
    untrained.tokenizer.save_pretrained(tmp_path)
    import rexkit.backends.vllm_engine as module

    config = SimpleNamespace(model_config=SimpleNamespace(tokenizer=str(tmp_path)))
    yield module, module.Decoding(config, torch.device("cpu"), False)
    sys.modules.pop("rexkit.backends.vllm_engine", None)


def _params(**wanted: Any) -> SimpleNamespace:
    return SimpleNamespace(extra_args=extra_args(40, **wanted))


def test_rows_of_an_engine_keep_their_states_when_they_move(decoding, vocabulary, untrained):
    _, processor = decoding
    assert not processor.is_argmax_invariant()  # greedy decoding must ask it too
    outputs: list[list[int]] = [[], [], []]
    params = [_params(form=SpanForm((phrase,))) for phrase in ("red", "blue")]
    params.append(SimpleNamespace(extra_args=None))
    for one in params:
        processor.validate_params(one)
    added = [(i, params[i], [1], outputs[i]) for i in range(3)]
    processor.update_state(_BatchUpdate(3, [], added, []))

    def allowed() -> list[list[int]]:
        logits = processor.apply(torch.zeros(3, vocabulary.size))
        return [torch.isfinite(row).nonzero()[:, 0].tolist() for row in logits]

    start = [vocabulary.object_ref_start]
    assert allowed()[:2] == [start, start]
    free = sorted(set(range(vocabulary.size)) - set(untrained.forbidden_ids()))
    assert allowed()[2] == free
    outputs[0] += start
    outputs[1] += [*start, -1]  # a token that is not known yet
    processor.update_state(None)
    red, blue = list(vocabulary.encode("red")), list(vocabulary.encode("blue"))
    assert allowed()[:2] == [red, blue]
    processor.update_state(_BatchUpdate(3, [], [], [(0, 1, _Moves.SWAP)]))
    assert allowed()[:2] == [blue, red]
    processor.update_state(_BatchUpdate(2, [0], [], [(2, 0, _Moves.UNIDIRECTIONAL)]))
    assert allowed()[0] == free
    # A request comes back after a preemption with what it had written.
    resumed = [*start, *red]
    processor.update_state(_BatchUpdate(3, [], [(2, params[0], [1], resumed)], []))
    assert allowed()[2] == [vocabulary.object_ref_end]
    form = params[0].extra_args["rexkit_form"]
    with pytest.raises(ValueError, match="must be the maximum number"):
        processor.validate_params(SimpleNamespace(extra_args={"rexkit_form": form}))


def test_an_engine_keeps_statistics_through_a_preemption(decoding, vocabulary):
    """Beside the recorder of transformers, which sees the same logits in one batch."""
    module, processor = decoding
    torch.manual_seed(0)
    steps = torch.randn(4, 2, vocabulary.size)
    coordinates = vocabulary.coordinates.tolist()
    taken = [[coordinates[5], 7, coordinates[500], 9], [3, coordinates[900], 4, coordinates[0]]]
    recorder = Recorder(vocabulary)
    for step in range(4):
        recorder(torch.tensor([row[:step] or [0] for row in taken]), steps[step].clone())
    recorder.finish(torch.tensor(taken))

    outputs: list[list[int]] = [[], []]
    params = [_params(record=name) for name in "ab"]
    added = [(i, params[i], [1], outputs[i]) for i in range(2)]
    processor.update_state(_BatchUpdate(2, [], added, []))
    for step in range(4):
        if step == 2:  # the second leaves, its prompt and tokens are computed in two pieces, back
            processor.update_state(_BatchUpdate(1, [1], [], []))
            outputs[1] = list(outputs[1])
            processor.update_state(_BatchUpdate(2, [], [(1, params[1], [1], outputs[1])], []))
            processor.apply(torch.randn(2, vocabulary.size))
        processor.apply(steps[step].clone())
        for row in range(2):
            outputs[row].append(taken[row][step])
    processor.update_state(_BatchUpdate(0, [0, 1], [], []))
    last = {"a": taken[0][-1], "b": taken[1][-1], "never": 1}
    replies = [module.Worker().take_records(last)]
    assert not module.Worker().take_records(last)
    for row, name in enumerate("ab"):
        found = statistics_of(replies, name, 4)
        for field in fields(BinStatistics):
            expected = getattr(recorder.row(row, 4)[1], field.name)
            np.testing.assert_allclose(getattr(found, field.name), expected, rtol=1e-5)
    assert statistics_of(replies, "never", 4) is None


def test_an_engine_decides_presence(decoding, vocabulary, untrained):
    _, processor = decoding
    before = [vocabulary.box_start]
    for index, params in enumerate((_params(marginal=True), _params())):
        processor.update_state(_BatchUpdate(2, [], [(index, params, [1], before)], []))
    logits = torch.full((2, vocabulary.size), -20.0)
    logits[:, vocabulary.coordinates] = 0.0
    logits[:, vocabulary.none[0]] = 3.0
    marginal, token = processor.apply(logits)
    assert marginal[vocabulary.none[0]] == -torch.inf
    assert int(token.argmax()) == vocabulary.none[0]
