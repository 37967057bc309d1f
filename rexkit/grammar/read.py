"""Text to instances: the one place that reads an answer, and it never raises on what a model wrote.

Spans that follow the grammar to the letter are recognised by one regular expression and their
coordinates turned into numbers together. Whatever lies between them goes to
`rexkit.grammar.repair`, which spells what it could read canonically, so both meet in the same
numbers. An answer without a span may be keypoint JSON (`rexkit.grammar.read_json`). Every deviation
is a `Problem` of a kind in `rexkit.grammar.problems`. Time grows linearly with the text.
"""

from __future__ import annotations

from operator import attrgetter

from rexkit.grammar.bins import check_image_size
from rexkit.grammar.lazy_instances import ReadInstances, Span
from rexkit.grammar.pattern import END, TIGHT
from rexkit.grammar.problems import problem
from rexkit.grammar.read_json import read_keypoints
from rexkit.grammar.repair import After, repair
from rexkit.grammar.tokens import BOX_START, OBJECT_REF_END, OBJECT_REF_START
from rexkit.grammar.write import Transcription
from rexkit.structures import ImageSize, Prediction, Problem

_BETWEEN = len(OBJECT_REF_END + BOX_START)  # phrase and geometry
_offset = attrgetter("offset")


def read(
    text: str, image_size: ImageSize, *, transcription: Transcription | None = None
) -> Prediction:
    """Read an answer.

    Args:
        text: what a model wrote, with its special tokens; it ends at ``<|im_end|>`` or
            ``<|endoftext|>``. White space between any two tokens is ignored.
        image_size: (width, height) of the original image; coordinates are pixels of it.
        transcription: where an OCR answer has the text of an item: "phrase" in place of the phrase,
            "inline" after its coordinates, up to a comma that a coordinate follows. It goes to
            ``Instance.text``.

    Returns:
        What could be read. ``absent`` are the phrases answered ``None``; ``problems`` say what was
        wrong and where. Instances are built when they are first looked at.

    Raises:
        ValueError: the image size is not positive.

    >>> from rexkit.grammar import read
    >>> text = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><9><99><999><|box_end|>"
    >>> read(text, (999, 999)).to_dict()
    {'cup': [{'type': 'box', 'coords': [0.0, 9.0, 99.0, 999.0]}]}
    >>> read(text[:-15], (999, 999)).problems[0].kind
    'truncated'
    """
    check_image_size(image_size)
    first = text.find(OBJECT_REF_START)
    end = END.search(text, 0, first if first >= 0 else len(text))
    if first >= 0 and end is None:
        return _read_spans(text, image_size, transcription)
    answer = text[: end.start()].rstrip() if end else text.rstrip()
    if not answer:
        return Prediction(image_size, problems=[problem("empty", 0)], text=text)
    instances, problems = read_keypoints(answer, image_size, ended=end is not None)
    problems.sort(key=_offset)
    return Prediction(image_size, instances, problems=problems, text=text)


def _read_spans(
    text: str, image_size: ImageSize, transcription: Transcription | None
) -> Prediction:
    inline = transcription == "inline"
    spans: list[Span] = []
    problems: list[Problem] = []
    only_boxes = True
    place = 0
    ended = False
    for match in () if inline else TIGHT.finditer(text):
        start, stop = match.span()
        if start != place:
            if END.search(text, place, start):
                break
            repair(text, place, start, "span", spans, problems)
            only_boxes = False
        phrase, boxes, items, end = match.groups()
        spans.append((phrase.rstrip(), boxes or items or "", match.end(1) + _BETWEEN, []))
        if items:
            only_boxes = False
        place = stop
        if end:
            ended = True
            break
    if not ended:
        cut = END.search(text, place)
        stop = len((text[: cut.start()] if cut else text).rstrip())
        if place < stop:
            after: After = "end of turn" if cut else "cut"
            repair(text, place, stop, after, spans, problems, inline=inline)
            only_boxes = False
    instances = ReadInstances(
        spans, image_size, only_boxes=only_boxes, phrase_is_text=transcription == "phrase"
    )
    problems += instances.order_corners()
    absent = _absent(spans, problems)
    problems.sort(key=_offset)
    order = [phrase for phrase, _, _, _ in spans] if absent else ()
    return Prediction(image_size, instances, absent, problems, text, order)


def _absent(spans: list[Span], problems: list[Problem]) -> list[str]:
    """The phrases answered None and nothing else."""
    nones = {phrase: place for phrase, geometry, place, _ in spans if not geometry}
    if not nones:
        return []
    for phrase in dict.fromkeys(phrase for phrase, geometry, _, _ in spans if geometry):
        place = nones.pop(phrase, None)
        if isinstance(place, int):
            problems.append(problem("contradiction", place, repr(phrase)))
    return list(nones)
