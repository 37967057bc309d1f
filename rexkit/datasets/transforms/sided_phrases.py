"""Phrases that name a side of the image: swapped in a mirror, and refused where they turn false."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, get_args

from rexkit.errors import DataError
from rexkit.structures import Annotation, Sample

SidedPhrases = Literal["swap", "keep"]
"""What becomes of phrases that name a side: "keep" says that these words are no places."""

_LEFT_RIGHT = re.compile(
    r"\b(left|right)(?=(?:most|hand|ward|wards|side|sided)?\b)|(左|右)", re.IGNORECASE
)
_PLACES = re.compile(
    r"\b(?:left|right|top|bottom|upper|lower|middle|center|central|centre)(?:most|hand|side)?\b"
    r"|\b(?:above|below|beneath|under|underneath|leftmost|rightmost|topmost)\b|[左右上下]",
    re.IGNORECASE,
)
_OTHER = {"left": "right", "right": "left", "左": "右", "右": "左"}


def check_sided(value: str) -> SidedPhrases:
    """Return an argument of a transform, checked.

    Raises:
        ValueError: it is none of `SidedPhrases`.
    """
    if value not in get_args(SidedPhrases):
        raise ValueError(f"phrases: {value!r} is none of {get_args(SidedPhrases)}")
    return value  # type: ignore[return-value]


def mirrored_phrase(phrase: str) -> str:
    """Return a phrase with left and right exchanged.

    >>> mirrored_phrase("the Left shoe, third from the right"), mirrored_phrase("bright leftover")
    ('the Right shoe, third from the left', 'bright leftover')
    """

    def other(match: re.Match[str]) -> str:
        word = match.group()
        swapped = _OTHER[word.lower()]
        if word.isupper():
            return swapped.upper()
        return swapped.capitalize() if word[0].isupper() else swapped

    return _LEFT_RIGHT.sub(other, phrase)


def mirror_phrases(annotation: Annotation) -> Annotation:
    """Return an annotation with left and right exchanged in every phrase, the absent ones too."""
    extra = dict(annotation.extra)
    if "categories" in extra:
        extra["categories"] = [mirrored_phrase(phrase) for phrase in extra["categories"]]
    if isinstance(extra.get("visual_prompt"), dict):
        extra["visual_prompt"] = {
            mirrored_phrase(phrase): shown for phrase, shown in extra["visual_prompt"].items()
        }
    instances = [replace(i, phrase=mirrored_phrase(i.phrase)) for i in annotation.instances]
    absent = [mirrored_phrase(phrase) for phrase in annotation.absent]
    return replace(annotation, instances=instances, absent=absent, extra=extra)


def refuse_places(sample: Sample, transform: Any, why: str) -> None:
    """Raise an error where a phrase names a place in the image.

    Args:
        sample: whose phrases are checked.
        transform: that would make them false, for the message.
        why: what it does: "turns the image".

    Raises:
        DataError: a phrase does.
    """
    if found := place_named(sample.annotation.phrases):
        raise DataError(
            f"{type(transform).__name__} {why}, so {found!r} may no longer be true; leave the "
            "transform out of this source, or give it phrases='keep' where the word is no place",
            sample.source,
        )


def place_named(phrases: Iterable[str]) -> str | None:
    """Return the first phrase that names a place in the image, or None.

    >>> place_named(["cup", "the upper shelf"]), place_named(["undergrowth", "laptop"])
    ('the upper shelf', None)
    """
    return next((phrase for phrase in phrases if _PLACES.search(phrase)), None)
