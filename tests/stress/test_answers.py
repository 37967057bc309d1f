"""Whatever a model writes is read, in time and memory that grow linearly with its length."""

from __future__ import annotations

import os
import time
import tracemalloc

import numpy as np
import pytest

from rexkit.grammar import PROBLEM_KINDS, read
from rexkit.structures import Prediction

ROUNDS = int(os.environ.get("REXKIT_FUZZ", "60")) * 10
MODES = [None, "phrase", "inline"]
PIECES = [
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|im_end|>"),
    *("<1><2><3><4>", "<5><6>", "<7>", "<1000>", "<x>", "None", "Non", ", ", ",", "a", "cup ", "<"),
    *(
        "<|x|>",
        "```json",
        '{"person1": {"bbox": "',
        '"}',
        '"keypoints": {',
        "[",
        "{",
        "}",
        '"',
        ":",
    ),
    *("\\", "\n", "\u00e9", "\ud800", "\x00", "unvisible", "<|endoftext|>", '"a": ', "```"),
]
SPAN = "<|object_ref_start|>cup<|object_ref_end|><|box_start|>"
GROWING = {
    "inline runs": (SPAN + "<1><2><3><4><|x|>" * 2, "<1><2><3><4><|x|>", "a,", "<|box_end|>"),
    "words between coordinates": (SPAN, "<1><2><3><4>a<5>", "", "<|box_end|>"),
    "a polygon and empty spans": (SPAN, "<1><2>", "<|object_ref_start|>", ""),
    "a polygon and phrases": (SPAN, "<1><2>", SPAN, ""),
    "starts": ("", "<|object_ref_start|>", "", ""),
    "ends of references": (SPAN, "<|object_ref_end|>", "", "<|im_end|>"),
    "brackets": ("", "[", "{", ""),
    "objects": ("", '{"a":', "", ""),
    "quotes": ('{"', '\\"', '"', ""),
    "fences": ("```json", "```json ", "", ""),
    "commas": (SPAN, ",", " ,", "<|box_end|>"),
    "spaces": (SPAN, " ", "\n", "<|box_end|>"),
    "less than": (SPAN, "<", "<|", ""),
    "instances": ('{"p1": {"bbox": "<1><2><3><4>"},', '"p2": {"bbox": "<1><2><3><4>"},', "", "}"),
}


def grown(name: str, length: int) -> str:
    start, first, second, end = GROWING[name]
    return start + first * (length // len(first)) + second * (length // max(1, len(second))) + end


def read_all(text: str, mode: str | None) -> Prediction:
    prediction = read(text, (640, 480), transcription=mode)
    list(prediction.instances)
    return prediction


@pytest.mark.parametrize("name", GROWING)
def test_time_and_memory_grow_with_the_length(name: str) -> None:
    for mode in MODES:
        costs = []
        for length in (8_000, 32_000):
            text = grown(name, length)
            read_all(text, mode)
            seconds = min(_seconds(text, mode) for _ in range(2))
            tracemalloc.start()
            read_all(text, mode)
            costs.append((seconds, tracemalloc.get_traced_memory()[1]))
            tracemalloc.stop()
        (short, little), (long, much) = costs
        assert long < 10 * short + 0.02, (mode, costs)
        assert much < 6 * little + 1e6, (mode, costs)


def test_any_text_is_read() -> None:
    generator = np.random.default_rng(11)
    for _ in range(ROUNDS):
        picks = generator.integers(len(PIECES), size=generator.integers(1, 24))
        text = "".join(PIECES[pick] for pick in picks)
        for mode in MODES:
            prediction = read_all(text, mode)
            assert {problem.kind for problem in prediction.problems} <= PROBLEM_KINDS.keys()
            for instance in prediction.instances:
                for values in (instance.bbox, instance.point, instance.polygon):
                    assert values is None or np.isfinite(values).all()


def _seconds(text: str, mode: str | None) -> float:
    started = time.process_time()
    read_all(text, mode)
    return time.process_time() - started
