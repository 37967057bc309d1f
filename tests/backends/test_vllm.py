"""vLLM for real: its engine in this process, and the server that `rexkit serve` starts.

They need an environment with vLLM in it (README, "vLLM"). Everything is compared with transformers
in float32, so a difference is one of prompts, images, weights or decoding, not of rounding.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("vllm", reason="vLLM has an environment of its own: see README")

from rexkit.backends import OpenAIBackend, Request, TransformersBackend, VLLMBackend, with_scores
from rexkit.backends.http_client import Server
from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError
from rexkit.formats.predictions import read_predictions
from rexkit.inference.predictor import Predictor
from rexkit.inference.requests import build_request
from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.registry import PARSERS
from rexkit.tasks import (
    GroundingTask,
    KeypointTask,
    OCRBoxTask,
    PointingTask,
    QuestionArguments,
    VisualPromptTask,
)

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB, where there is no GPU

ENGINE = {"dtype": "float32", "max_model_len": 2048, "enforce_eager": True}
LONGEST = 96
KEY = "secret"
HAND = {"name": "small hand", "keypoints": ["wrist", "thumb"], "sigmas": 0.1}
TASKS = [
    GroundingTask(),
    PointingTask(),
    OCRBoxTask(),
    KeypointTask(HAND),
    VisualPromptTask(),
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> str:
    """A checkpoint whose ``generation_config.json`` would change every answer."""
    path = tmp_path_factory.mktemp("vllm") / "tiny"
    TinyVLM().save(path)
    file = path / "generation_config.json"
    defaults = {"do_sample": True, "repetition_penalty": 9.0, "min_p": 0.9}
    defaults |= {"no_repeat_ngram_size": 1}
    file.write_text(json.dumps(json.loads(file.read_text()) | defaults), "utf-8")
    return str(path)


@pytest.fixture(scope="session")
def server(folder, tmp_path_factory) -> Iterator[str]:
    """The address of a server, which starts beside the engine below."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", folder, "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    words += ["--take-weights", "--api-key", KEY]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "rexkit.cli", *words, "--max-model-len", "2048"],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"NO_PROXY": "127.0.0.1"},
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        yield f"http://127.0.0.1:{port}/v1"
    process.terminate()
    process.wait(60)


@pytest.fixture(scope="session")
def engine(folder, server) -> VLLMBackend:
    return VLLMBackend(folder, max_new_tokens=LONGEST, **ENGINE)


@pytest.fixture(scope="session")
def served(folder, server, engine) -> OpenAIBackend:
    """The server, once it responds."""
    deadline = time.monotonic() + 240
    while True:
        try:
            headers = {"authorization": f"Bearer {KEY}"}
            if httpx2.get(f"{server}/models", headers=headers).is_success:
                break
        except httpx2.TransportError:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(1)
    return OpenAIBackend(folder, server, checkpoint=folder, max_new_tokens=LONGEST)


@pytest.fixture(scope="session")
def plain(folder) -> TransformersBackend:
    return TransformersBackend(PretrainedVLM(folder), max_new_tokens=LONGEST, batch_size=8)


def questions() -> list[tuple[Any, Request]]:
    """32 of mixed tasks about images of several sizes, with their tasks."""
    found = []
    data = ShapesDataset(size=32, seed=5)
    sizes = [(128, 128), (160, 96), (300, 200), (97, 131)]
    for number in range(32):
        sample = data[number]
        task = TASKS[number % len(TASKS)]
        image = sample.image.resize(sizes[number % len(sizes)])
        phrases = [instance.phrase for instance in sample.annotation.instances][:2]
        if isinstance(task, KeypointTask):
            phrases = ["small hand"]
        boxes = np.array([[10.0, 10.0, 60.0, 60.0]])
        question = task.question(
            image.size,
            QuestionArguments(
                categories=() if isinstance(task, VisualPromptTask) else phrases,
                visual_prompt_boxes=boxes if isinstance(task, VisualPromptTask) else None,
            ),
        )
        found.append((task, build_request(image, task, question)))
    return found


def set_up(backends: list[Any], **options: Any) -> None:
    """The same settings for all, without starting them anew."""
    for backend in backends:
        for name, value in options.items():
            if isinstance(backend, TransformersBackend):
                fresh = TransformersBackend(
                    backend.vlm, batch_size=8, max_new_tokens=LONGEST, **options
                )
                backend.__dict__ |= fresh.__dict__
            else:
                setattr(backend, name, value)


@pytest.mark.parametrize("options", [{}, {"constrain": True}, {"presence": "marginal"}])
def test_all_three_answer_alike(plain, engine, served, monkeypatch, options):
    asked = questions()
    requests = [r for _, r in asked]
    prompts: dict[str, list[list[int]]] = {"engine": [], "served": []}
    generate, post = engine.engine.generate, Server.post

    def recording(*args: Any, **kwargs: Any) -> Any:
        outputs = generate(*args, **kwargs)
        prompts["engine"] = [list(output.prompt_token_ids) for output in outputs]
        return outputs

    async def posting(self: Server, client: Any, path: str, body: Any) -> Any:
        response = await post(self, client, path, body)
        if path == "chat/completions":
            prompts["served"].append(list(response["prompt_token_ids"]))
        return response

    monkeypatch.setattr(engine.engine, "generate", recording)
    monkeypatch.setattr(Server, "post", posting)
    set_up([plain, engine, served], **{"constrain": False, "presence": "token"} | options)
    expected = plain.generate(requests)
    encoder = plain.vlm.encoder
    ids = [encoder.questions([r.image], [r.prompt])["input_ids"][0].tolist() for r in requests]
    for name, backend in (("engine", engine), ("served", served)):
        generations = backend.generate(requests)
        assert sorted(prompts[name]) == sorted(ids)  # requests reach a server in any order
        assert [a.text for a in generations] == [e.text for e in expected]
        assert [a.token_ids for a in generations] == [e.token_ids for e in expected]
        assert [a.truncated for a in generations] == [e.truncated for e in expected]
        assert [a.prompt_tokens for a in generations] == list(map(len, ids))
        scores = 0
        for (task, r), generation, other in zip(asked, generations, expected, strict=True):
            np.testing.assert_allclose(generation.logprobs, other.logprobs, atol=5e-3)
            parser = PARSERS.build(task.parser)
            found, wanted = (
                with_scores(parser(g.text, r.image.size), g, backend.vocabulary).instances
                for g in (generation, other)
            )
            for one, two in zip(found, wanted, strict=True):
                assert one.score == pytest.approx(two.score, abs=1e-3)
                scores += one.score is not None
            if options == {"constrain": True}:
                assert not parser(generation.text, r.image.size).problems
        assert scores > 20


def test_only_the_penalty_that_is_set_is_applied(plain, engine, served, monkeypatch):
    """Not that of the checkpoint; and one that is set is the same everywhere."""
    requests = [r for _, r in questions()]
    set_up([plain, engine, served], constrain=False, presence="token")
    free = TransformersBackend(TinyVLM(), max_new_tokens=LONGEST, batch_size=8).generate(requests)
    set_up([plain], repetition_penalty=1.5)
    monkeypatch.setitem(engine.sampling_arguments, "repetition_penalty", 1.5)
    monkeypatch.setitem(served.body, "repetition_penalty", 1.5)
    expected = plain.generate(requests)
    assert sum(e.text != f.text for e, f in zip(expected, free, strict=True)) > 5
    for backend in (engine, served):
        generations = backend.generate(requests)
        assert [a.token_ids for a in generations] == [e.token_ids for e in expected]
        for generation, other in zip(generations, expected, strict=True):
            np.testing.assert_allclose(generation.logprobs, other.logprobs, atol=5e-3)
    set_up([plain, engine, served], constrain=False, presence="token")
    for backend in (plain, engine, served):
        monkeypatch.undo()
        assert [a.text for a in backend.generate(requests)] == [f.text for f in free]


def test_it_never_writes_what_would_break_the_next_step(engine):
    """Not even where a vision token is by far the likeliest."""
    set_up([engine], constrain=False, presence="token")
    forbidden = TinyVLM(weights=None).forbidden_ids()
    engine.sampling_arguments["logit_bias"] = dict.fromkeys(forbidden, 100.0)
    try:
        generations = engine.generate([Request(Image.new("RGB", (128, 128)), "Detect cup.")])
    finally:
        del engine.sampling_arguments["logit_bias"]
    assert generations[0].token_ids
    assert not set(generations[0].token_ids) & set(forbidden)


def test_samples_are_drawn_by_a_seed_each(engine, served):
    set_up([engine, served], constrain=False, presence="token")
    requests = [Request(Image.new("RGB", (128, 128)), "Detect cup.")] * 24
    for backend, sampling in ((engine, engine.sampling_arguments), (served, served.body)):
        sampling["temperature"] = 2.0
        try:
            generations, again = backend.generate(requests), backend.generate(requests)
        finally:
            sampling["temperature"] = 0.0
        assert len({tuple(generation.token_ids) for generation in generations}) == 24
        assert [a.token_ids for a in generations] == [a.token_ids for a in again]


def test_extra_paths_ask_for_the_key_and_refuse_browsers(server, served):
    for path in ("records", "weights"):
        url, key = f"{server}/rexkit/{path}", {"authorization": f"Bearer {KEY}"}
        assert httpx2.post(url, json={}).status_code == 401
        assert (
            httpx2.post(url, json={}, headers={**key, "origin": "http://page"}).status_code == 403
        )
    assert httpx2.post(f"{server}/chat/completions", json={}).status_code == 401


@pytest.mark.parametrize("which", ["engine", "served"])
def test_new_weights_are_those_that_answer(which, request, folder):
    """Every part of the model, the head that shares the embedding's rows included."""
    engine = request.getfixturevalue(which)
    set_up([engine], constrain=False, presence="token")
    vlm = PretrainedVLM(folder)
    backend = TransformersBackend(vlm, max_new_tokens=LONGEST)
    requests = [r for _, r in questions()[:6]]
    before = {name: weight.clone() for name, weight in vlm.model.named_parameters()}
    old = engine.generate(requests)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in vlm.model.parameters():
            weight.add_(torch.randn_like(weight) * 0.02 * weight.abs().mean())
    engine.update_weights(vlm.model.named_parameters())
    expected, generations = backend.generate(requests), engine.generate(requests)
    engine.update_weights(before.items())
    assert [a.token_ids for a in generations] == [e.token_ids for e in expected]
    changed = 0
    for generation, other, previous in zip(generations, expected, old, strict=True):
        np.testing.assert_allclose(generation.logprobs, other.logprobs, atol=5e-3)
        changed += abs(generation.logprobs[1] - previous.logprobs[1]) > 1e-2
    assert changed
    assert [a.token_ids for a in engine.generate(requests)] == [o.token_ids for o in old]


def test_the_predictor_asks_an_engine(engine, tmp_path):
    set_up([engine], constrain=True, presence="token")
    sample = ShapesDataset(size=1, seed=5)[0]
    sample.image.save(tmp_path / "shapes.png")
    (tmp_path / "text.jpg").write_text("no image")
    phrase = sample.annotation.instances[0].phrase
    good, bad = Predictor(engine_model(engine), engine).predict(
        [tmp_path / "shapes.png", tmp_path / "text.jpg"], categories=[phrase]
    )
    assert good.resized_size == (128, 128)
    assert good.prompt_tokens > 16
    assert not good.problems
    assert good.instances[0].score > 0
    assert not bad.success


def engine_model(engine: VLLMBackend) -> str:
    return engine.engine.llm_engine.vllm_config.model_config.model


def test_a_request_without_a_constraint_is_named(engine, served):
    set_up([engine, served], constrain=True)
    free = replace(questions()[0][1], constraint=None)
    for backend in (engine, served):
        with pytest.raises(ValueError, match="has no constraint"):
            backend.generate([free])
        backend.constrain = False


def test_the_embedded_model_needs_a_folder():
    with pytest.raises(ConfigError, match="save"):
        VLLMBackend("tiny")


def test_commands_use_it(served, server, folder, tmp_path: Path):
    """`rexkit predict` and `tools/test.py`, over the server."""
    ShapesDataset(size=1, seed=5)[0].image.save(tmp_path / "shapes.png")
    options = [f"base_url={server}", f"checkpoint={folder}", "constrain=True"]
    words = ["predict", str(tmp_path / "shapes.png"), "--out", str(tmp_path / "out")]
    words += ["--categories", "red circle", "--model", folder, "--backend", "openai"]
    done = subprocess.run(
        [sys.executable, "-m", "rexkit.cli", *words, "--options", *options],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [record] = read_predictions(tmp_path / "out" / "predictions.jsonl")
    assert record.error is None
    assert record.prediction is not None
    assert record.prediction.phrases == ["red circle"]


def test_an_adapter_on_the_other_family_is_applied(tmp_path):
    """Qwen2.5-VL, Rex-Omni's family, at random weights: with its adapter beside merged weights."""
    from peft import LoraConfig, get_peft_model

    base, adapter = str(tmp_path / "base"), str(tmp_path / "adapter")
    vlm = TinyVLM(weights=None, family="qwen2_5_vl", seed=3)
    vlm.save(base)
    requests = [r for _, r in questions()[:8]]
    plain = TransformersBackend(vlm, max_new_tokens=24)
    without = plain.generate(requests)
    config = LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    torch.manual_seed(0)
    adapted: Any = get_peft_model(vlm.model, config)
    adapted.peft_config["default"].base_model_name_or_path = base
    adapted.save_pretrained(adapter)
    expected = TransformersBackend(PretrainedVLM(adapter), max_new_tokens=24).generate(requests)
    engine = VLLMBackend(base, max_new_tokens=24, adapter=adapter, **ENGINE)
    generations = engine.generate(requests)
    assert [a.token_ids for a in expected] != [w.token_ids for w in without]
    assert [a.token_ids for a in generations] == [e.token_ids for e in expected]
    engine.adapter = None
    assert [a.token_ids for a in engine.generate(requests)] == [w.token_ids for w in without]


def test_grpo_samples_by_a_server_with_the_weights_of_the_step(served, server, folder, tmp_path):
    from test_grpo import rows, trainer
    from test_vllm_grpo import varied

    job = trainer(
        tmp_path,
        vlm=PretrainedVLM(folder),
        rollout=dict(type="OpenAIBackend", model=folder, base_url=server),
        learning_rate=2e-3,
        lr_scheduler_type="constant",
        max_completion_length=32,
        rewards=[dict(type=varied, name="varied")],
        max_steps=3,
    )
    job.fit()
    for row in rows(tmp_path)[:3]:  # what the server samples is as likely to the trainer
        assert row["grad_norm"] > 0
        assert row["sampling/sampling_logp_difference/mean"] < 2e-3
