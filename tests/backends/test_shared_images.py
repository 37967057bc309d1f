"""Requests that share an image: it is encoded once, without effect on the completions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import KINDS, small_model
from transformers import GenerationConfig

from rexkit.backends import Request, TransformersBackend
from rexkit.backends.shared_images import VisionTower
from rexkit.backends.transformers_backend import _order
from rexkit.models import TinyVLM
from rexkit.models.tiny import _start

TOKENS = 12
SMALL = dict(hidden_size=64, layers=3, heads=2, vision_hidden_size=64)
PROMPTS = [
    "Detect cup.",
    "Point to the small cup on the left of the large one, and to every dog, cat and person.",
    "Detect dog, cat.",
]


@pytest.fixture(scope="module", params=KINDS)
def vlm(request) -> TinyVLM:
    vlm = small_model(request.param, **SMALL)
    if request.param == "deepstack":
        _start(vlm.model, vlm.tokenizer)
    return vlm


def drawn(number: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(130, 96), (200, 80), (100, 100)]
    return [
        Image.fromarray(rng.integers(0, 256, (*sizes[i][::-1], 3), np.uint8)) for i in range(number)
    ]


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    images = drawn(3)
    requests = [Request(image, prompt) for prompt in PROMPTS for image in images]
    return [*requests, Request(images[1], PROMPTS[0])]


@pytest.fixture(scope="module")
def alone(vlm, requests) -> list[tuple[list[int], torch.Tensor]]:
    """Tokens and log-probabilities by transformers' own way, a request and its pixels at a time."""
    vlm.model.eval()
    config = GenerationConfig(
        max_new_tokens=TOKENS,
        do_sample=False,
        eos_token_id=vlm.tokenizer.eos_token_id,
        pad_token_id=vlm.tokenizer.pad_token_id,
        suppress_tokens=vlm.forbidden_ids(),
        output_scores=True,
        return_dict_in_generate=True,
    )
    found = []
    for request in requests:
        inputs = vlm.encoder.questions([request.image], [request.prompt])
        output = vlm.model.generate(**inputs, generation_config=config)
        tokens = output.sequences[0, inputs["input_ids"].shape[1] :]
        logprobs = torch.cat(output.scores).log_softmax(1).gather(1, tokens[:, None])[:, 0]
        found.append((tokens.tolist(), logprobs))
    return found


@contextmanager
def watched(module: torch.nn.Module, name: str) -> Iterator[list[torch.Size]]:
    """The shapes of an argument, call by call."""
    shapes: list[torch.Size] = []
    place = list(inspect.signature(module.forward).parameters).index(name)
    hook = module.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(
            (kwargs.get(name) if name in kwargs else args[place]).shape
        ),
        with_kwargs=True,
    )
    try:
        yield shapes
    finally:
        hook.remove()


@pytest.mark.parametrize(
    ("batch_size", "static_cache"), [(16, False), (4, False), (1, False), (4, True)]
)
def test_answers_are_those_of_asking_alone_and_a_image_is_seen_once(
    vlm, requests, alone, batch_size, static_cache
):
    assert len({tuple(tokens) for tokens, _ in alone}) > 3  # images and words matter
    backend = TransformersBackend(
        vlm, batch_size=batch_size, max_new_tokens=TOKENS, static_cache=static_cache
    )
    with watched(vlm.inner.visual, "hidden_states") as shown:
        generations = backend.generate(requests)
    every = vlm.encoder.images([request.image for request in requests[:3]])["pixel_values"]
    assert sum(shape[0] for shape in shown) == len(every)
    for request, generation, (tokens, logprobs) in zip(requests, generations, alone, strict=True):
        assert generation.token_ids == tokens
        np.testing.assert_allclose(generation.logprobs, logprobs, rtol=0, atol=1e-5)
        inputs = vlm.encoder.questions([request.image], [request.prompt])
        assert generation.prompt_tokens == inputs["input_ids"].shape[1]


@pytest.mark.parametrize("vlm", ["deepstack"], indirect=True)
def test_deepstack_features_matter(vlm, requests):
    """Or the tests above could not tell whether they are passed on."""
    inputs = vlm.encoder.questions([requests[0].image], [requests[0].prompt])
    with torch.inference_mode():
        whole = vlm.model(**inputs).logits
        vlm.inner.visual.deepstack_merger_list[0].linear_fc2.weight.mul_(-1)
        other = vlm.model(**inputs).logits
        vlm.inner.visual.deepstack_merger_list[0].linear_fc2.weight.mul_(-1)
    assert (whole - other).abs().max() > 1e-2


def test_the_language_model_reads_a_shared_image_once(vlm, requests):
    request = requests[0]
    backend = TransformersBackend(vlm, max_new_tokens=1)
    with watched(vlm.inner.language_model, "inputs_embeds") as read:
        backend.generate([request] * 8)
    prompt = vlm.encoder.questions([request.image], [request.prompt])["input_ids"][0]
    token = vlm.processor.image_token_id
    common = int((prompt == token).nonzero().max()) + 1
    assert [shape[:2] for shape in read] == [(1, common), (8, len(prompt) - common)]


def test_nothing_is_kept_once_it_was_asked(vlm):
    one, two = drawn(2)
    tower = VisionTower(vlm, [Request(one, "a"), Request(two, "a"), Request(one, "b")])
    with torch.inference_mode():
        first, _ = tower.encode([one, two])
        assert list(tower._encoded) == [id(one)]
        assert tower.encode([one])[0] is first
    assert not tower._encoded


def test_one_image_s_requests_come_together_where_that_pads_nothing():
    one, two, large = (Image.new("RGB", size) for size in ((280, 280), (280, 280), (1400, 1400)))
    requests = [Request(image, "Detect cup.") for image in (one, two, large) * 3]
    order = [id(requests[i].image) for i in _order(requests)]
    assert order[:3] == [id(large)] * 3
    assert sum(a != b for a, b in pairwise(order)) == 2
    # Without shared images the longest come first, whatever their group.
    rng = np.random.default_rng(0)
    alone = [Request(Image.new("RGB", (28 * n, 280)), "?") for n in rng.permutation(50) + 1]
    widths = [alone[i].image.width for i in _order(alone)]
    assert widths == sorted(widths, reverse=True)
