"""Instances that are built on first use.

Callers that read thousands of texts often need only the problems or a few boxes. So reading ends
with one flat array of bins; pixels and `Instance` objects are made from it when they are accessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, repeat
from typing import overload

import numpy as np

from rexkit.grammar.bins import to_pixels
from rexkit.grammar.problems import problem
from rexkit.grammar.tokens import ITEM_SEPARATOR
from rexkit.structures import Array, ImageSize, Instance, Problem

Span = tuple[str, str, int | list[int], list[str | None]]
"""A span as read: its phrase; its geometry in valid tokens, "" for None; the offset in the text of
the geometry, or of each of its items; the transcriptions of the items, if any."""

BOX = 4
_TO_SPACES = bytes.maketrans(b"<>,", b"   ")


class LazyInstances(Sequence[Instance]):
    """The instances of the spans of one text.

    Args:
        spans: the spans, in the order of the text.
        image_size: (width, height) of the image in pixels.
        only_boxes: whether every item is known to be a box, which saves counting coordinates.
        phrase_is_text: whether the phrases are transcriptions.

    >>> cup = LazyInstances([("cup", "<0><0><999><999>,<1><2>", 0, [])], (999, 999))
    >>> len(cup), cup[1].point
    (2, array([1., 2.]))
    """

    def __init__(
        self,
        spans: Sequence[Span],
        image_size: ImageSize,
        *,
        only_boxes: bool = False,
        phrase_is_text: bool = False,
    ):
        self._spans = [span for span in spans if span[1]]
        self._image_size = image_size
        self._phrase_is_text = phrase_is_text
        self._sizes = None
        if not self._spans:
            self._bins = np.empty(0, dtype=np.int64)
            return
        joined = ITEM_SEPARATOR.join([geometry for _, geometry, _, _ in self._spans])
        # The geometry is ASCII and well formed, so fromstring parses all of it.
        self._bins = np.fromstring(joined.encode().translate(_TO_SPACES), np.int64, sep=" ")
        if not only_boxes:
            self._sizes = np.array([item.count("<") for item in joined.split(ITEM_SEPARATOR)])

    def __len__(self) -> int:
        return len(self._bins) // BOX if self._sizes is None else len(self._sizes)

    @overload
    def __getitem__(self, index: int) -> Instance: ...
    @overload
    def __getitem__(self, index: slice) -> list[Instance]: ...
    def __getitem__(self, index: int | slice) -> Instance | list[Instance]:
        return self._built[index]

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._built)

    def __repr__(self) -> str:
        return repr(self._built)

    def order_corners(self) -> list[Problem]:
        """Put the corners of inverted boxes in order.

        Returns:
            A problem for each inverted box and each box without area.
        """
        if self._sizes is None:
            which, boxes = None, self._bins.reshape(-1, BOX)
        else:
            which = np.flatnonzero(self._sizes == BOX)
            cells = (np.cumsum(self._sizes) - self._sizes)[which, None] + np.arange(BOX)
            boxes = self._bins[cells]
        first, second = boxes[:, :2], boxes[:, 2:]
        wrong = second <= first
        if not np.count_nonzero(wrong):
            return []
        offsets = [*chain.from_iterable(_item_offsets(span) for span in self._spans)]
        problems = []
        for row in np.flatnonzero(wrong.any(axis=1)):
            kind = "inverted_box" if (second[row] < first[row]).any() else "flat_box"
            place = offsets[row if which is None else which[row]]
            problems.append(problem(kind, place, "".join([f"<{b}>" for b in boxes[row]])))
        ordered = np.hstack([np.minimum(first, second), np.maximum(first, second)])
        if which is None:
            self._bins = ordered.ravel()
        else:
            self._bins[cells] = ordered
        return problems

    @cached_property
    def _built(self) -> list[Instance]:
        pixels = to_pixels(self._bins, self._image_size)
        if self._sizes is None and not self._phrase_is_text:  # boxes alone have no texts
            counts = [geometry.count(ITEM_SEPARATOR) + 1 for _, geometry, _, _ in self._spans]
            phrases = [repeat(span[0], n) for span, n in zip(self._spans, counts, strict=True)]
            return [*map(Instance, chain.from_iterable(phrases), pixels.reshape(-1, BOX))]
        items = self._cut(pixels)
        instances = []
        for phrase, geometry, _, texts in self._spans:
            for number in range(geometry.count(ITEM_SEPARATOR) + 1):
                instance = _instance(phrase, next(items))
                if self._phrase_is_text:
                    instance.text = phrase
                elif texts:
                    instance.text = texts[number]
                instances.append(instance)
        return instances

    def _cut(self, pixels: Array) -> Iterator[Array]:
        if self._sizes is None:
            return iter(pixels.reshape(-1, BOX))
        ends = np.cumsum(self._sizes).tolist()
        return (pixels[a:b] for a, b in zip([0, *ends], ends, strict=False))


def _instance(phrase: str, coords: Array) -> Instance:
    if len(coords) == BOX:
        return Instance(phrase, coords)
    if len(coords) == 2:
        return Instance(phrase, point=coords)
    return Instance(phrase, polygon=coords.reshape(-1, 2))


def _item_offsets(span: Span) -> list[int]:
    _, geometry, place, _ = span
    if isinstance(place, list):
        return place
    return [place + item.start() for item in re.finditer(r"[^,\s][^,]*", geometry)]
