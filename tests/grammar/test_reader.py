"""Reading valid texts, broken ones, and completions of the released weights."""

from __future__ import annotations

import json

import pytest

from rexkit.grammar import PROBLEM_KINDS, read
from rexkit.parsers import SpanParser
from rexkit.registry import PARSERS

SIZE = (999, 999)  # a pixel is a bin
START, END = "<|object_ref_start|>", "<|object_ref_end|>"
OPEN, CLOSE = "<|box_start|>", "<|box_end|>"
A, B = "<1><2><3><4>", "<5><6><7><8>"
BOX_A, BOX_B = [1, 2, 3, 4], [5, 6, 7, 8]


def span(geometry: str, phrase: str = "cup") -> str:
    return f"{START}{phrase}{END}{OPEN}{geometry}{CLOSE}"


def coords(prediction) -> dict[str, list]:
    return {p: [g["coords"] for g in rows] for p, rows in prediction.to_dict().items()}


def kinds(prediction) -> list[str]:
    return [problem.kind for problem in prediction.problems]


# ----------------------------------------------------------------------------------- valid texts


def test_points_boxes_polygons_and_none():
    text = f"{span('<1><2>,<3><4>')}, {span(A, 'dog')}, {span('<1><1><9><1><9><9>', 'sign')}, "
    prediction = read(text + span("None", "fog") + "<|im_end|>", SIZE)
    assert prediction.to_dict() == {
        "cup": [{"type": "point", "coords": [1, 2]}, {"type": "point", "coords": [3, 4]}],
        "dog": [{"type": "box", "coords": BOX_A}],
        "sign": [{"type": "polygon", "coords": [[1, 1], [9, 1], [9, 9]]}],
        "fog": [],
    }
    assert prediction.absent == ["fog"]
    assert not prediction.problems


def test_phrases_keep_the_order_of_the_text():
    text = ", ".join([span("None", "b"), span(A, "a"), span("None", "d"), span(A, "c")])
    prediction = read(text, SIZE)
    assert prediction.phrases == list(prediction.to_dict()) == ["b", "a", "d", "c"]
    assert prediction.text == text


def test_repeated_phrases_are_merged():
    prediction = read(f"{span(A)}, {span(A, 'dog')}, {span(B)}", SIZE)
    assert coords(prediction) == {"cup": [BOX_A, BOX_B], "dog": [BOX_A]}
    assert not prediction.problems


@pytest.mark.parametrize("end", ["<|im_end|>", "<|endoftext|>", "\n<|im_end|>\n"])
def test_nothing_is_read_after_the_end_of_the_turn(end):
    prediction = read(span(A) + end + span(B, "dog") + " and more", SIZE)
    assert coords(prediction) == {"cup": [BOX_A]}
    assert not prediction.problems


@pytest.mark.parametrize(
    "phrase", ["a, b", "x < y", '"q"', "l'été", "犬と猫", "<b>", "<5>", "<|", "two\nlines", "{}"]
)
def test_phrases_are_kept(phrase):
    assert coords(read(span(A, f" {phrase}\t"), SIZE)) == {phrase: [BOX_A]}
    assert coords(read(span("None", phrase), SIZE)) == {phrase: []}


def test_instances_are_a_sequence():
    found = read(f"{span(f'{A},{B}')}, {span('<9><9>', 'dog')}", SIZE).instances
    assert len(found) == 3
    assert found[1].bbox.tolist() == BOX_B
    assert [i.phrase for i in found[1:]] == ["cup", "dog"]
    assert found[0] is found[0]
    assert repr(found).startswith("[Instance(phrase='cup'")


def test_transcriptions_in_place_of_phrases():
    prediction = read(span(A, "Hello, world"), SIZE, transcription="phrase")
    assert [(i.phrase, i.text) for i in prediction.instances] == [("Hello, world",) * 2]


@pytest.mark.parametrize(
    ("geometry", "texts"),
    [
        (f"{A}Hello, world,{B}x", ["Hello, world", "x"]),
        (f"{A}Hello,,{B},", ["Hello,", ","]),
        (f"{A},{B}a<b>c < d", [None, "a<b>c < d"]),
        (f" {A} two words \n , {B} 9,000 ", ["two words", "9,000"]),
        (f"{A}None", ["None"]),
        (A, [None]),
    ],
)
def test_transcriptions_inline(geometry, texts):
    prediction = read(span(geometry, "word"), SIZE, transcription="inline")
    assert [i.text for i in prediction.instances] == texts
    assert [i.bbox.tolist() for i in prediction.instances] == [BOX_A, BOX_B][: len(texts)]
    assert not prediction.problems


# ---------------------------------------------------------------------------------------- problems

FIRST = len(f"{START}cup{END}{OPEN}")  # where the geometry of span() begins

BROKEN = [
    ("<343><358><998>xyz", [], [("odd_coordinates", 0), ("junk", 15)]),
    (f"<343><358><998>xyz,{A}", [BOX_A], [("odd_coordinates", 0), ("junk", 15)]),
    ("<5>", [], [("odd_coordinates", 0)]),
    ("<1><2><3><4><5>", [], [("odd_coordinates", 0)]),
    (f"{A} and {B}", [BOX_A, BOX_B], [("junk", 13)]),
    (f"{A},two cups,{B}", [BOX_A, BOX_B], [("junk", 13)]),
    ("<1><2>?<3><4>", [BOX_A], [("junk", 6)]),
    ("<30><2><10><4>", [[10, 2, 30, 4]], [("inverted_box", 0)]),
    (f"{A},<3><4><1><2>", [BOX_A, BOX_A], [("inverted_box", 13)]),
    (f"<1><9>,{A},<3><4><1><2>", [[1, 9], BOX_A, BOX_A], [("inverted_box", 20)]),
    (f"{A} , <1><5><7><5>", [BOX_A, [1, 5, 7, 5]], [("flat_box", 15)]),
    ("<1><5><1><9>", [[1, 5, 1, 9]], [("flat_box", 0)]),
    (f"{A}{CLOSE},{B}", [BOX_A, BOX_B], [("stray_token", 12)]),
    (f"{A}{CLOSE}{CLOSE}", [BOX_A], [("stray_token", 23), ("stray_token", 34)]),
    (f"{A},<|vision_start|>{B}", [BOX_A, BOX_B], [("stray_token", 13)]),
    (f"<1000><2><3><4>,{A}", [BOX_A], [("out_of_range", 0)]),
    (f"<{'9' * 5000}><2><3><4>", [], [("out_of_range", 0)]),
    ("<007><2><3><4>", [], [("out_of_range", 0)]),
    ("<1><2><-3><4><5>", [], [("out_of_range", 6)]),
    ("<1><2><3.5><4><5>", [], [("out_of_range", 6)]),
    ("<1><2><٣><4><5>", [], [("out_of_range", 6)]),
    (f"{A},", [BOX_A], [("separator", 13)]),
    (f",{A}", [BOX_A], [("separator", 0)]),
    (f"{A},,{B}", [BOX_A, BOX_B], [("separator", 13)]),
    ("", None, [("no_geometry", 0)]),
    ("  ", None, [("no_geometry", 0)]),
    ("none", None, [("junk", 0)]),
    ("None of these", [], [("junk", 5)]),
    (f"None,{A}", [BOX_A], [("contradiction", 0)]),
]


@pytest.mark.parametrize(("geometry", "expected", "problems"), BROKEN)
@pytest.mark.parametrize("last", [True, False])
def test_broken_geometry(geometry, expected, problems, last):
    prediction = read(span(geometry) + ("" if last else f", {span(B, 'dog')}"), SIZE)
    assert coords(prediction).get("cup", []) == (expected or [])
    assert [(p.kind, p.offset - FIRST) for p in prediction.problems] == problems
    assert ("dog" in prediction.phrases) is not last
    assert prediction.absent == (["cup"] if geometry == "None of these" else [])


STRUCTURE = [
    ("", {}, [("empty", 0)]),
    (" \n<|im_end|>", {}, [("empty", 0)]),
    ("There is no cup.", {}, [("junk", 0)]),
    (f"Sure! {span(A)}", {"cup": [BOX_A]}, [("junk", 0)]),
    (f"{span(A)} That is all.", {"cup": [BOX_A]}, [("junk", FIRST + 24)]),
    (f"{span(A)} and {span(B, 'dog')}", {"cup": [BOX_A], "dog": [BOX_B]}, [("junk", FIRST + 24)]),
    (span(A) + span(B, "dog"), {"cup": [BOX_A], "dog": [BOX_B]}, [("separator", FIRST + 23)]),
    (f"{span(A)},, {span(B)}", {"cup": [BOX_A, BOX_B]}, [("separator", FIRST + 26)]),
    (f"{span(A)},<|im_end|>", {"cup": [BOX_A]}, [("separator", FIRST + 24)]),
    (f"{START}cup{OPEN}{A}{CLOSE}", {"cup": [BOX_A]}, [("missing_token", 23)]),
    (f"{START}cup{END}{A}{CLOSE}", {"cup": [BOX_A]}, [("missing_token", 41)]),
    (f"{START}cup{END}, {span(B, 'dog')}", {"dog": [BOX_B]}, [("unclosed_span", 43)]),
    (f"{START}cup, {span(B, 'dog')}", {"dog": [BOX_B]}, [("unclosed_span", 25)]),
    (f"{START}cup{END}{OPEN}{A}, {span(B)}", {"cup": [BOX_A, BOX_B]}, [("unclosed_span", 68)]),
    (f"{START}cup{END}{OPEN}{A}<|im_end|>", {"cup": [BOX_A]}, [("unclosed_span", 66)]),
    (span(A, " "), {"": [BOX_A]}, [("empty_phrase", 20)]),
    (f"{span('None')}, {span(A)}", {"cup": [BOX_A]}, [("contradiction", FIRST)]),
    (f"{START}cup{END} or {OPEN}{A}{CLOSE}", {"cup": [BOX_A]}, [("junk", 41)]),
]


@pytest.mark.parametrize(("text", "expected", "problems"), STRUCTURE)
def test_broken_structure(text, expected, problems):
    prediction = read(text, SIZE)
    assert coords(prediction) == expected
    assert [(p.kind, p.offset) for p in prediction.problems] == problems


CUT = [
    ("", [BOX_A]),
    (",", [BOX_A]),
    (",<", [BOX_A]),
    (",<5>", [BOX_A]),
    (",<5><6>", [BOX_A]),
    (",<5><6><7", [BOX_A]),
    (f",{B}", [BOX_A, BOX_B]),
    (f",{B}<", [BOX_A, BOX_B]),
    (f",{B}<|box_e", [BOX_A, BOX_B]),
    (f",{B}<9", [BOX_A]),
    (f",{B}<9>", [BOX_A]),
    (f",{B}<9><9>", [BOX_A]),
    (f",{B}{CLOSE}, ", [BOX_A, BOX_B]),
    (f",{B}{CLOSE}, <|object", [BOX_A, BOX_B]),
    (f",{B}{CLOSE}, {START}d", [BOX_A, BOX_B]),
    (f",{B}{CLOSE}, {START}dog{END}", [BOX_A, BOX_B]),
    (f",{B}{CLOSE}, {START}dog{END}{OPEN}", [BOX_A, BOX_B]),
    (f",{B}{CLOSE}, {START}dog{END}{OPEN}Non", [BOX_A, BOX_B]),
    (f",{B}{CLOSE}, {START}dog{END}{OPEN}<1><2>", [BOX_A, BOX_B]),
]


@pytest.mark.parametrize(("tail", "expected"), CUT)
def test_text_cut_off(tail, expected):
    prediction = read(f"{START}cup{END}{OPEN}{A}{tail}", SIZE)
    assert coords(prediction) == {"cup": expected}
    assert kinds(prediction) == ["truncated"]


def test_a_phrase_with_a_complete_none_is_absent():
    assert read(f"{START}cup{END}{OPEN}None", SIZE).absent == ["cup"]


def test_a_transcription_cut_off_keeps_its_item():
    text = f"{START}word{END}{OPEN}{A}Hel"
    prediction = read(text, SIZE, transcription="inline")
    assert [i.text for i in prediction.instances] == ["Hel"]
    assert kinds(prediction) == ["truncated"]


def test_inline_items_without_a_comma():
    prediction = read(span(f"{A}Hello{B}"), SIZE, transcription="inline")
    assert [i.text for i in prediction.instances] == ["Hello", None]
    assert kinds(prediction) == ["separator"]


def test_one_broken_span_does_not_affect_the_others():
    good = [span(A, f"object {i}") for i in range(20)]
    text = ", ".join([*good[:10], span("<1><2><3>"), *good[10:]])
    prediction = read(text, SIZE)
    assert len(prediction.instances) == 20
    assert kinds(prediction) == ["odd_coordinates"]
    assert text[prediction.problems[0].offset :].startswith("<1><2><3>")


def test_every_kind_is_described():
    seen = {kind for rows in (BROKEN, STRUCTURE) for row in rows for kind, _ in row[2]}
    assert {*seen, "truncated", "bad_json", "foreign_json"} == set(PROBLEM_KINDS)


def test_an_invalid_size_is_an_error():
    with pytest.raises(ValueError, match="image_size"):
        read(span(A), (0, 10))


# ------------------------------------------------------------------------------ released weights


def test_outputs_of_the_released_weights(shared_data):
    lines = (shared_data / "rexomni_outputs/outputs.jsonl").read_text("utf-8").splitlines()
    outputs = [json.loads(line) for line in lines]
    assert len(outputs) == 3
    for output in outputs:
        prediction = read(output["raw_output"], tuple(output["image_size"]))
        assert not prediction.problems
        if output["reported_predictions"] is not None:
            assert prediction.to_dict() == output["reported_predictions"]
            assert prediction.phrases == list(output["reported_predictions"])


def test_the_letter_of_the_released_weights(shared_data):
    lines = (shared_data / "rexomni_outputs/outputs.jsonl").read_text("utf-8").splitlines()
    letter = next(row for row in map(json.loads, lines) if row["task"] == "ocr_polygon")
    prediction = read(letter["raw_output"], tuple(letter["image_size"]), transcription="phrase")
    assert [i.text for i in prediction.instances][:2] == [
        "Hello Rachel,",
        "It was a pleasure seeing you again at our open",
    ]
    assert all(i.polygon.shape == (4, 2) for i in prediction.instances)
    assert len(prediction.instances) == 8
    assert prediction.instances[0].polygon[0].tolist() == [83 / 999 * 720, 305 / 999 * 720]


# ------------------------------------------------------------------------------------------ parser


def test_the_parser_is_registered():
    parse = PARSERS.build({"type": "SpanParser", "transcription": "phrase"})
    assert isinstance(parse, SpanParser)
    assert parse(span(A), SIZE).instances[0].text == "cup"
