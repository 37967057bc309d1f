"""What holds of reading for any string at all, and how long it takes."""

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


# -------------------------------------------------------------------------------------------- laws

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
    answer = read(text, size, transcription=transcription)
    json.dumps(answer.to_dict())
    for instance in answer.instances:
        kind, xy = geometry_of(instance)
        points = np.reshape(xy, (-1, 2))
        assert (points >= 0).all()
        assert (points <= np.array(size) + 1e-9).all()
        if kind == "bbox":
            assert (points[0] <= points[1]).all()
    assert all(p.kind in PROBLEM_KINDS and 0 <= p.offset <= len(text) for p in answer.problems)
    assert [p.offset for p in answer.problems] == sorted(p.offset for p in answer.problems)
    assert not set(answer.absent) & {i.phrase for i in answer.instances}
    assert answer.problems or answer.phrases or "{" in text


@given(ANY_TEXT | annotations().map(lambda a: write(a.instances, a.image_size)), SIZES)
def test_the_patterns_and_the_token_reader_agree(text, size):
    """What a pattern accepts, the token reader reads alike; and it is never accepted wrongly."""
    fast = read(text, size)
    never = re.compile(r"(?!)")
    modules = [sys.modules["rexkit.grammar.read"], sys.modules["rexkit.grammar.repair"]]
    with patch.object(modules[0], "TIGHT", never), patch.object(modules[1], "LOOSE", never):
        slow = read(text, size)
    assert fast.to_dict() == slow.to_dict()
    assert fast.phrases == slow.phrases
    assert fast.problems == slow.problems


# The blank is for the regular expression, the ideographic space only for the token reader.
@given(annotations(), st.data(), st.sampled_from([" ", "\n", " \t\r\n ", "\u3000"]))
def test_white_space_between_tokens_changes_nothing(truth, data, space):
    text = write(truth.instances, truth.image_size, phrases=truth.phrases)
    plain = read(text, truth.image_size)
    head, *rest = text.split(">")
    spaced = head + "".join(data.draw(st.sampled_from([">", f">{space}"])) + r for r in rest)
    for token in (OPEN, CLOSE, END):
        spaced = spaced.replace(token, f"{space}{token}")
    if any(">" in phrase or "<|" in phrase for phrase in truth.phrases):
        return  # there the space may be within the phrase
    answer = read(f"{space}{spaced}{space}", truth.image_size)
    assert answer.to_dict() == plain.to_dict()
    assert answer.phrases == plain.phrases
    assert kinds(answer) == kinds(plain)


@given(st.lists(st.lists(BOXES, min_size=1, max_size=3), min_size=1, max_size=4), st.data())
def test_what_is_cut_off_is_a_beginning(groups, data):
    found = [
        Instance(f"thing {n}", bbox=to_pixels(box, SIZE))
        for n, group in enumerate(groups)
        for box in group
    ]
    text = write(found, SIZE)
    cut = data.draw(st.integers(0, len(text) - 1))
    answer = read(text[:cut], SIZE)
    whole = [(i.phrase, i.bbox.tolist()) for i in read(text, SIZE).instances]
    assert [(i.phrase, i.bbox.tolist()) for i in answer.instances] == whole[: len(answer.instances)]
    complete = text[:cut].count(">,") + text[:cut].count(CLOSE) - text[:cut].count(f"{CLOSE},")
    assert len(answer.instances) >= complete
    assert text[:cut].endswith(CLOSE) or set(kinds(answer)) & {"truncated", "empty", "junk"}


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
def test_a_very_long_answer_is_read_in_seconds(unit):
    start = time.process_time()
    read(unit * 200_000, SIZE)
    read(f"{START}cup{END}{OPEN}{A}{unit * 200_000}", SIZE)
    assert time.process_time() - start < 20


def test_six_thousand_characters_of_repetition():
    text = f"{START}cup{END}{OPEN}" + f"{A}," * 460
    assert len(text) > 6000
    answer = read(text, SIZE)
    assert len(answer.instances) == 460
    assert kinds(answer) == ["truncated"]
    babble = read("cup cup cup " * 500, SIZE)
    assert not babble.instances
    assert kinds(babble) == ["junk"]
