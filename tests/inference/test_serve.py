"""`rexkit serve`: what it becomes, without vLLM; tests/test_vllm.py asks the real server."""

from __future__ import annotations

import importlib.util
import os
import sys

import pytest

from rexkit.backends.vllm_request import DECODING, MIDDLEWARE, TAKES_WEIGHTS, WORKER
from rexkit.cli import main


@pytest.fixture
def became(monkeypatch) -> list[list[str]]:
    """The command that this process would have become, where vLLM is installed."""
    found: list[list[str]] = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(os, "execv", lambda file, words: found.append([file, *words[1:]]))
    monkeypatch.setenv(TAKES_WEIGHTS, "1")
    monkeypatch.delenv("VLLM_USE_V2_MODEL_RUNNER", raising=False)
    return found


def following(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_it_listens_on_this_machine_and_takes_no_weights_unless_told(became):
    assert main(["serve", "folder", "--dtype", "float32"]) == 0
    (words,) = became
    assert words[0] == sys.executable
    assert words[words.index("serve") + 1] == "folder"
    assert following(words, "--host") == "127.0.0.1"
    assert following(words, "--port") == "8000"
    assert following(words, "--dtype") == "float32"
    assert following(words, "--logits-processors") == DECODING
    assert following(words, "--worker-extension-cls") == WORKER
    assert following(words, "--middleware") == MIDDLEWARE
    assert os.environ[TAKES_WEIGHTS] == "0"
    assert os.environ["VLLM_USE_V2_MODEL_RUNNER"] == "0"  # the one that asks logits processors


def test_it_is_told(became):
    main(["serve", "folder", "--host", "0.0.0.0", "--port", "9", "--take-weights"])
    assert following(became[0], "--host") == "0.0.0.0"
    assert following(became[0], "--port") == "9"
    assert "--take-weights" not in became[0]
    assert os.environ[TAKES_WEIGHTS] == "1"


def test_without_a_folder_or_vllm_it_says_what_to_do(became, monkeypatch, capsys):
    assert main(["serve", "tiny"]) == 2
    assert "TinyVLM().save" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["serve", "folder"]) == 2
    assert "pip install vllm" in capsys.readouterr().err
    assert not became
