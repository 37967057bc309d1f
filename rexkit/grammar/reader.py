"""The reader of the answer grammar: text to instances, without ever raising on model output.

Spans that follow the grammar exactly are matched by one regular expression, and their coordinates
are converted together. The text between them goes to `rexkit.grammar.span_repair`, which returns
what it could read in the canonical spelling, so that both are converted alike. A text without a
span may be keypoint JSON (`rexkit.grammar.json_reader`). Every deviation is a `Problem` of a kind
in `rexkit.grammar.problems`. Time grows linearly with the text.
"""

from __future__ import annotations

from operator import attrgetter

from rexkit.grammar.bins import check_image_size
from rexkit.grammar.json_reader import read_keypoints
from rexkit.grammar.lazy_instances import LazyInstances, Span
from rexkit.grammar.problems import problem
from rexkit.grammar.span_patterns import END, EXACT_SPAN
from rexkit.grammar.span_repair import After, repair
from rexkit.grammar.tokens import BOX_START, OBJECT_REF_END, OBJECT_REF_START
from rexkit.grammar.writer import Transcription
from rexkit.structures import ImageSize, Prediction, Problem

_BETWEEN = len(OBJECT_REF_END + BOX_START)  # phrase and geometry
_offset = attrgetter("offset")


def read(
    text: str, image_size: ImageSize, *, transcription: Transcription | None = None
) -> Prediction:
    """Read the prediction from a completion or response.

    Args:
        text: the text with its special tokens; it is read up to ``<|im_end|>`` or
            ``<|endoftext|>``. White space between any two tokens is ignored.
        image_size: (width, height) of the original image; the prediction is in its pixels.
        transcription: where OCR text is, which goes to ``Instance.text``: "phrase" in place of the
            phrase, "inline" after the coordinates of an item, up to a comma that a coordinate
            follows. None if there is none.

    Returns:
        Everything that could be read. ``absent`` holds the phrases with ``None``; ``problems``
        lists the deviations from the grammar with their offsets. Instances are built on first
        access.

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
    turn = text[: end.start()].rstrip() if end else text.rstrip()
    if not turn:
        return Prediction(image_size, problems=[problem("empty", 0)], text=text)
    instances, problems = read_keypoints(turn, image_size, ended=end is not None)
    problems.sort(key=_offset)
    return Prediction(image_size, instances, problems=problems, text=text)


def _read_spans(
    text: str, image_size: ImageSize, transcription: Transcription | None
) -> Prediction:
    inline = transcription == "inline"
    spans: list[Span] = []
    problems: list[Problem] = []
    only_boxes = True
    position = 0
    ended = False
    for match in () if inline else EXACT_SPAN.finditer(text):
        start, stop = match.span()
        if start != position:
            if END.search(text, position, start):
                break
            repair(text, position, start, "span", spans, problems)
            only_boxes = False
        phrase, boxes, items, end = match.groups()
        spans.append((phrase.rstrip(), boxes or items or "", match.end(1) + _BETWEEN, []))
        if items:
            only_boxes = False
        position = stop
        if end:
            ended = True
            break
    if not ended:
        cut = END.search(text, position)
        stop = len((text[: cut.start()] if cut else text).rstrip())
        if position < stop:
            after: After = "end of turn" if cut else "cut"
            repair(text, position, stop, after, spans, problems, inline=inline)
            only_boxes = False
    instances = LazyInstances(
        spans, image_size, only_boxes=only_boxes, phrase_is_text=transcription == "phrase"
    )
    problems += instances.order_corners()
    absent = _absent(spans, problems)
    problems.sort(key=_offset)
    order = [phrase for phrase, _, _, _ in spans] if absent else ()
    return Prediction(image_size, instances, absent, problems, text, order)


def _absent(spans: list[Span], problems: list[Problem]) -> list[str]:
    """Return the phrases with None and no items."""
    nones = {phrase: position for phrase, geometry, position, _ in spans if not geometry}
    if not nones:
        return []
    for phrase in dict.fromkeys(phrase for phrase, geometry, _, _ in spans if geometry):
        position = nones.pop(phrase, None)
        if isinstance(position, int):
            problems.append(problem("contradiction", position, repr(phrase)))
    return list(nones)
