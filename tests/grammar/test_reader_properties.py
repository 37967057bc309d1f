"""Properties of reading that hold for any string, and the time it takes."""

from __future__ import annotations

import json
import re
import sys
import time
from unittest.mock import patch

import numpy as np
import pytest
from grammar_strategies import BOXES, SIZES, annotations, geometry_of
from hypothesis import given
from hypothesis import strategies as st

from rexkit.grammar import PROBLEM_KINDS, read, to_pixels, write
from rexkit.structures import Instance

SIZE = (999, 999)  # a pixel is a bin
START, END = "<|object_ref_start|>", "<|object_ref_end|>"
OPEN, CLOSE = "<|box_start|>", "<|box_end|>"
A, B = "<1><2><3><4>", "<5><6><7><8>"


def span(geometry: str, phrase: str = "cup") -> str:
    return f"{START}{phrase}{END}{OPEN}{geometry}{CLOSE}"


def kinds(prediction) -> list[str]:
    return [problem.kind for problem in prediction.problems]


# -------------------------------------------------------------------------------------- properties

FRAGMENTS = st.sampled_from(
    [
        *(START, END, OPEN, CLOSE, "<|im_end|>", "<|", "|>", "<", ">", ",", ", ", " ", "\n"),
        *("None", "cup", "<1>", "<999>", "<1000>", "<007>", A, B, span(A), span("None")),
        *("{", "}", "[", "]", '"', ":", "```json\n", '{"person1": {"bbox": " <1> <2> <3> <4> "'),
        *('"keypoints": {', '"nose": ', '"unvisible"', "\\", '"bbox_2d": [1, 2, 3, 4]', "1e999"),
    ]
)
ANY_TEXT = st.text() | st.lists(FRAGMENTS | st.text(max_size=3), max_size=25).map("".join)


@given(ANY_TEXT, SIZES, st.sampled_from([None, "phrase", "inline"]))
def test_reading_never_raises(text, size, transcription):
    prediction = read(text, size, transcription=transcription)
    json.dumps(prediction.to_dict())
    for instance in prediction.instances:
        kind, xy = geometry_of(instance)
        points = np.reshape(xy, (-1, 2))
        assert (points >= 0).all()
        assert (points <= np.array(size) + 1e-9).all()
        if kind == "bbox":
            assert (points[0] <= points[1]).all()
    assert all(p.kind in PROBLEM_KINDS and 0 <= p.offset <= len(text) for p in prediction.problems)
    assert [p.offset for p in prediction.problems] == sorted(p.offset for p in prediction.problems)
    assert not set(prediction.absent) & {i.phrase for i in prediction.instances}
    assert prediction.problems or prediction.phrases or "{" in text


@given(ANY_TEXT | annotations().map(lambda a: write(a.instances, a.image_size)), SIZES)
def test_the_patterns_and_the_token_reader_agree(text, size):
    """Spans that a pattern accepts are read the same by the token reader."""
    fast = read(text, size)
    never = re.compile(r"(?!)")
    modules = [sys.modules["rexkit.grammar.reader"], sys.modules["rexkit.grammar.span_repair"]]
    with (
        patch.object(modules[0], "EXACT_SPAN", never),
        patch.object(modules[1], "SPACED_SPAN", never),
    ):
        slow = read(text, size)
    assert fast.to_dict() == slow.to_dict()
    assert fast.phrases == slow.phrases
    assert fast.problems == slow.problems


# The blank is for the regular expression, the ideographic space only for the token reader.
@given(annotations(), st.data(), st.sampled_from([" ", "\n", " \t\r\n ", "\u3000"]))
def test_white_space_between_tokens_changes_nothing(target, data, space):
    text = write(target.instances, target.image_size, phrases=target.phrases)
    plain = read(text, target.image_size)
    head, *rest = text.split(">")
    spaced = head + "".join(data.draw(st.sampled_from([">", f">{space}"])) + r for r in rest)
    for token in (OPEN, CLOSE, END):
        spaced = spaced.replace(token, f"{space}{token}")
    if any(">" in phrase or "<|" in phrase for phrase in target.phrases):
        return  # the space could be part of the phrase
    prediction = read(f"{space}{spaced}{space}", target.image_size)
    assert prediction.to_dict() == plain.to_dict()
    assert prediction.phrases == plain.phrases
    assert kinds(prediction) == kinds(plain)


@given(st.lists(st.lists(BOXES, min_size=1, max_size=3), min_size=1, max_size=4), st.data())
def test_a_cut_text_gives_the_first_instances(groups, data):
    found = [
        Instance(f"object {n}", bbox=to_pixels(box, SIZE))
        for n, group in enumerate(groups)
        for box in group
    ]
    text = write(found, SIZE)
    cut = data.draw(st.integers(0, len(text) - 1))
    prediction = read(text[:cut], SIZE)
    whole = [(i.phrase, i.bbox.tolist()) for i in read(text, SIZE).instances]
    assert [(i.phrase, i.bbox.tolist()) for i in prediction.instances] == whole[
        : len(prediction.instances)
    ]
    complete = text[:cut].count(">,") + text[:cut].count(CLOSE) - text[:cut].count(f"{CLOSE},")
    assert len(prediction.instances) >= complete
    assert text[:cut].endswith(CLOSE) or set(kinds(prediction)) & {"truncated", "empty", "junk"}


# -------------------------------------------------------------------------------------------- time


def seconds(text: str) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        read(text, SIZE)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize(
    "unit",
    [
        *(START, END, OPEN, CLOSE, "<", ">", ",", "<|", "<1>", A, f"{A},", "None", " ", "x "),
        *(span(A), f"{span(A)} ", span("<1><2>x<3>"), f"{START}<", f"{START}x{END}", "<1", ", <1"),
        *("{", "[", '"', '\\"', '{"a":', '"a": "<1>", ', "```", "```json ", "\\", "{ "),
    ],
)
def test_time_is_linear(unit):
    for lead in ("", f"{START}cup{END}{OPEN}", f'{{"a": {{"bbox": "{A}", "keypoints": {{"b": "'):
        times = 5_000 // len(unit)
        short, long = seconds(lead + unit * times), seconds(lead + unit * times * 8)
        assert long < 0.01 + 24 * short, (lead, short, long)  # 64 if it were quadratic


@pytest.mark.parametrize("unit", [START, "<", "<|", '"\\'])
def test_a_very_long_text_is_read_in_seconds(unit):
    start = time.process_time()
    read(unit * 200_000, SIZE)
    read(f"{START}cup{END}{OPEN}{A}{unit * 200_000}", SIZE)
    assert time.process_time() - start < 20


def test_six_thousand_characters_of_repetition():
    text = f"{START}cup{END}{OPEN}" + f"{A}," * 460
    assert len(text) > 6000
    prediction = read(text, SIZE)
    assert len(prediction.instances) == 460
    assert kinds(prediction) == ["truncated"]
    repeated = read("cup cup cup " * 500, SIZE)
    assert not repeated.instances
    assert kinds(repeated) == ["junk"]
