"""The closed set of problem kinds that reading a text may report."""

from __future__ import annotations

from rexkit.structures import Problem

PROBLEM_KINDS: dict[str, str] = {
    "empty": "the text is empty or white space",
    "junk": "text where the grammar allows none; it is skipped",
    "truncated": "the text stops inside a span or JSON; what is complete before it is kept",
    "unclosed_span": "a span is not complete when the next one or the end of the turn comes",
    "missing_token": "a span lacks <|object_ref_end|> or <|box_start|>; it is assumed there",
    "stray_token": "a special token where the grammar allows none; items after it are kept",
    "separator": "a comma is missing, or there is one too many; items are kept",
    "odd_coordinates": "the coordinates form no point, box or polygon; the item is dropped",
    "out_of_range": "a coordinate is not one of <0> to <999>; its item is dropped",
    "inverted_box": "x1 < x0 or y1 < y0; the box is kept with its corners in order",
    "flat_box": "a box has no width or no height, in bins; it is kept",
    "no_geometry": "a phrase has neither an item nor None and is dropped, or keypoints lack a bbox",
    "empty_phrase": "a span has no phrase; its items are kept under the empty phrase",
    "contradiction": "a phrase has both items and None; the items are kept",
    "bad_json": "JSON that is not well formed; what can be read is kept",
    "foreign_json": "JSON that is not keypoint JSON, such as bbox_2d lists; it is skipped",
}
"""Every kind, with its meaning and how the affected text is handled."""


def problem(kind: str, offset: int, detail: str = "") -> Problem:
    """Return a problem of a known kind, whose detail ends with the meaning of the kind.

    Args:
        kind: one of `PROBLEM_KINDS`.
        offset: the position in the text, in characters.
        detail: the affected text, or what is wrong with it.

    Returns:
        The problem.

    Raises:
        KeyError: the kind is not in `PROBLEM_KINDS`.

    >>> problem("out_of_range", 7, "<1000>").detail
    '<1000>: a coordinate is not one of <0> to <999>; its item is dropped'
    """
    meaning = PROBLEM_KINDS[kind]
    return Problem(kind, offset, f"{detail}: {meaning}" if detail else meaning)
