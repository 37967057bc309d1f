"""Sampling parameters: checked values, and each backend is handed all of them."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import GenerationConfig, RepetitionPenaltyLogitsProcessor

from rexkit.backends import OpenAIBackend, Request, SamplingParams, TransformersBackend
from rexkit.backends.repetition_penalty import RepetitionPenalty
from rexkit.errors import ConfigError, UserError
from rexkit.inference.predictor import Predictor
from rexkit.models import TinyVLM
from rexkit.registry import BACKENDS

REQUEST = Request(Image.new("RGB", (64, 64), "red"), "Detect red square.")
CHANGED: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 7,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "max_new_tokens": 33,
    "stop": ("\n",),
}


@pytest.fixture(scope="module")
def vlm() -> TinyVLM:
    return TinyVLM()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("temperature", v) for v in (-0.1, float("nan"), "1", None, True)),
        *(("top_p", v) for v in (0, -1, 1.1)),
        *(("top_k", v) for v in (-1, 2.5)),
        *(("min_p", v) for v in (-0.1, 1.1, None)),
        *(("repetition_penalty", v) for v in (0, float("inf"))),
        *(("max_new_tokens", v) for v in (0, 1.0)),
        *(("stop", v) for v in ([""], [1], 3, {"a"})),
    ],
)
def test_values_out_of_range_name_the_field(name, value):
    with pytest.raises(ConfigError, match=f"^{name}: expected "):
        SamplingParams(**{name: value})


def test_it_is_frozen_and_stop_may_be_one_text():
    params = SamplingParams(stop="END")
    assert params.stop == ("END",)
    with pytest.raises(dataclasses.FrozenInstanceError):
        params.top_k = 3  # type: ignore[misc]


def test_every_field_is_handed_over():
    params = SamplingParams(**CHANGED)
    assert CHANGED.keys() == SamplingParams.names()
    drawn = {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "min_p": 0.05}
    shared = {**drawn, "repetition_penalty": 1.1}
    assert params.for_transformers() == {
        **drawn,
        "do_sample": True,
        "max_new_tokens": 33,
        "stop_strings": ["\n"],
    }
    assert params.for_vllm() == {
        **shared,
        "max_tokens": 33,
        "stop": ["\n"],
        "detokenize": True,
    }
    assert params.for_openai() == {**shared, "max_tokens": 33, "stop": ["\n"]}


def test_defaults_are_greedy_and_explicit():
    """A checkpoint's generation_config.json may set any of them, such as a penalty of 1.05."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        config = GenerationConfig(**SamplingParams().for_transformers())
    assert not config.do_sample
    assert (config.temperature, config.top_p, config.min_p) == (1.0, 1.0, None)
    assert config.repetition_penalty is None  # RepetitionPenalty applies it
    assert SamplingParams().for_vllm()["repetition_penalty"] == 1.0
    body = OpenAIBackend("m").body
    assert (body["temperature"], body["top_k"], body["repetition_penalty"]) == (0.0, -1, 1.0)
    assert body["min_p"] == 0.0
    plain = OpenAIBackend("m", extra_body={}).body  # for servers that know OpenAI's fields only
    assert not {"top_k", "min_p", "repetition_penalty"} & plain.keys()
    assert OpenAIBackend("m", extra_body={}, top_k=3).body["top_k"] == 3


def test_greedy_decoding_takes_neither_top_p_nor_top_k():
    greedy = SamplingParams(top_p=0.5, top_k=7).for_transformers()
    assert greedy == SamplingParams().for_transformers()
    defaults = GenerationConfig()
    assert greedy["top_k"] == (defaults.top_k or 50)


def test_an_openai_request_without_stop_texts_has_null():
    assert SamplingParams().for_openai()["stop"] is None


def test_options_are_split_into_parameters_and_others():
    params, others = SamplingParams.split({"top_k": 3, "device": "cpu", "stop": "END"})
    assert params == SamplingParams(top_k=3, stop=("END",))
    assert others == {"device": "cpu"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one. two; three", ("one", True)),
        ("one; two. three", ("one", True)),
        ("; one", ("", True)),
        ("one", ("one", False)),
        ("", ("", False)),
    ],
)
def test_a_text_is_cut_at_the_first_of_several_stop_texts(text, expected):
    assert SamplingParams(stop=(";", ".")).cut_at_stop(text) == expected


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    "defaults",
    [
        {"repetition_penalty": 5.0},
        {"top_k": 1, "top_p": 0.1},
        {"no_repeat_ngram_size": 1},
        {"bad_words_ids": [[5], [7]], "min_p": 0.9, "typical_p": 0.1},
    ],
)
def test_no_default_of_the_checkpoint_replaces_one(vlm, monkeypatch, defaults, temperature):
    """``generate`` takes what its caller leaves unset from ``generation_config.json``."""
    arguments = {"max_new_tokens": 24, "temperature": temperature, "seed": 4}
    [expected] = TransformersBackend(vlm, **arguments).generate([REQUEST])
    own = vlm.model.generation_config
    for name, value in defaults.items():
        monkeypatch.setattr(own, name, value)
    [found] = TransformersBackend(vlm, **arguments).generate([REQUEST])
    assert found.token_ids == expected.token_ids
    np.testing.assert_array_equal(found.logprobs, expected.logprobs)
    assert vlm.model.generation_config is own  # saved with the model


def test_a_penalty_that_is_set_is_applied_after_the_scores(vlm):
    [free] = TransformersBackend(vlm, max_new_tokens=24).generate([REQUEST])
    penalized = TransformersBackend(vlm, max_new_tokens=24, repetition_penalty=5.0)
    [found] = penalized.generate([REQUEST])
    pairs = zip(free.token_ids, found.token_ids, strict=False)
    same = next(number for number, (one, other) in enumerate(pairs) if one != other)
    # Log-probabilities are the model's own, as a penalty changes only what is taken.
    np.testing.assert_array_equal(found.logprobs[:same], free.logprobs[:same])


def test_the_penalty_is_that_of_transformers_and_knows_no_padding():
    generator = torch.Generator().manual_seed(1)
    prompts = [[1, 2, 3, 2], [4, 5]]
    steps = [[6, 1, 6], [2, 9, 9]]
    padded = torch.tensor([[1, 2, 3, 2], [0, 0, 4, 5]])
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])
    ours, theirs = RepetitionPenalty(1.3, mask), RepetitionPenaltyLogitsProcessor(1.3)
    for step in range(3):
        logits = torch.randn(2, 12, generator=generator)
        logits[0, 3] = -torch.inf
        done = torch.tensor([row[:step] for row in steps], dtype=torch.long)
        found = ours(torch.cat([padded, done], 1), logits)
        for row, prompt in enumerate(prompts):
            ids = torch.tensor([prompt + steps[row][:step]])
            torch.testing.assert_close(found[row : row + 1], theirs(ids, logits[row : row + 1]))


def test_top_k_of_one_is_greedy(vlm):
    greedy = TransformersBackend(vlm, max_new_tokens=24).generate([REQUEST])[0]
    sampled = TransformersBackend(vlm, max_new_tokens=24, temperature=5.0, top_k=1, seed=3)
    assert sampled.generate([REQUEST])[0].token_ids == greedy.token_ids


def test_a_stop_text_ends_a_completion_and_is_not_in_it(vlm):
    other = Request(REQUEST.image, "Detect blue circle, red square, green triangle.")
    whole = TransformersBackend(vlm, max_new_tokens=40).generate([REQUEST, other])
    stop = "<|object_ref_end|>"
    assert all(stop in one.text for one in whole)
    backend = TransformersBackend(vlm, max_new_tokens=40, stop=[stop])
    for one, cut in zip(whole, backend.generate([REQUEST, other]), strict=True):
        assert cut.text == one.text[: one.text.index(stop)]
        assert not cut.truncated
        assert cut.token_ids == one.token_ids[: len(cut.token_ids)]
        assert len(cut.token_ids) < len(one.token_ids)
        assert cut.logprobs is not None
        assert len(cut.logprobs) == len(cut.token_ids)


def test_stop_texts_and_constraints_exclude_each_other(vlm):
    with pytest.raises(ConfigError, match="stop: a constrained completion"):
        TransformersBackend(vlm, constrain=True, stop=["."])
    with pytest.raises(ConfigError, match="stop: a constrained completion"):
        OpenAIBackend("m", constrain=True, stop=["."])


def test_configs_and_predictors_take_the_fields(vlm):
    cfg = {"type": "TransformersBackend", **CHANGED}
    assert BACKENDS.build(cfg, key="backend", vlm=vlm).sampling == SamplingParams(**CHANGED)
    with pytest.raises(ConfigError, match=r"backend\.top_p"):
        BACKENDS.build({**cfg, "top_p": 2}, key="backend", vlm=vlm)
    with pytest.raises(ConfigError, match=r"did you mean 'temperature'"):
        BACKENDS.build({**cfg, "temprature": 2}, key="backend", vlm=vlm)
    with pytest.raises(UserError, match="top_k"):
        Predictor(vlm, top_k=-5)
