"""How phrases are written, and phrases in another spelling: "Traffic_Light" is "traffic light".

Models repeat the phrases of a question, but not always letter by letter. Two phrases are the same
if they are equal after Unicode normalisation (NFC), without case, underscores, white space and
punctuation. Symbols are kept: "C++" is not "C".
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from rexkit.errors import DataError
from rexkit.structures import Prediction

__all__ = ["as_asked", "asked_spellings", "clean_phrase", "clean_text", "normalise_phrase"]

SPECIAL = re.compile(r"<\|[^|<>]*\|>|<[0-9]+>|</?(?:tool_call|tool_response|think)>")
"""What becomes special tokens: markup, coordinates, and those of the Qwen models without bars."""

_CONTROLS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ufeff]+")
_SURROGATE = re.compile("[\ud800-\udfff]")

_LEFT_OUT = ("P", "Z", "C")
"""Unicode's categories of punctuation (underscores included), separators and control characters."""


@lru_cache(maxsize=65536)
def clean_phrase(phrase: str) -> str:
    r"""Return a phrase as it is written in prompts and responses: one line of text in NFC.

    This is the one rule for categories, expressions and names of keypoints, in data, in tasks and
    in `Predictor`. Each run of white space and control characters becomes one space.

    Args:
        phrase: any text.

    Raises:
        DataError: it is empty, has half of a surrogate pair, which no file can hold, or has a text
            that tokenizers read as a special token, such as ``<12>`` or ``<|box_end|>``.

    >>> clean_phrase(' a  "red"\ncup < 3 cm ')
    'a "red" cup < 3 cm'
    """
    clean = clean_text(phrase)
    if not clean:
        raise DataError(f"phrase {phrase!r} is empty")
    if found := SPECIAL.search(clean):
        raise DataError(
            f"phrase {clean!r} contains {found.group()!r}, which is a special token (a coordinate "
            "or markup) of the models; spell it differently"
        )
    if has_surrogate(clean):
        raise DataError(
            f"phrase {clean!r} contains half of a surrogate pair, which is no character; correct "
            "its encoding"
        )
    return clean


def clean_text(text: str) -> str:
    r"""Return a text in NFC, each run of white space and control characters as one space.

    >>> clean_text("cafe\u0301\tbar ")
    'café bar'
    """
    return unicodedata.normalize("NFC", _CONTROLS.sub(" ", text)).strip()


def has_surrogate(text: str) -> bool:
    """Return whether a text has half of a surrogate pair, which is no character."""
    return bool(_SURROGATE.search(text))


@lru_cache(maxsize=65536)
def normalise_phrase(phrase: str) -> str:
    """Return what all spellings of a phrase have in common.

    Args:
        phrase: any text.

    Returns:
        Its letters, digits and symbols, casefolded; a phrase that has none is returned as it is.

    >>> normalise_phrase("Traffic_Light") == normalise_phrase("traffic  light.")
    True
    >>> normalise_phrase("C++") == normalise_phrase("C")
    False
    """
    folded = unicodedata.normalize("NFC", phrase).casefold()
    kept = "".join(c for c in folded if unicodedata.category(c)[0] not in _LEFT_OUT)
    return unicodedata.normalize("NFC", kept) or phrase


def asked_spellings(
    phrases: Iterable[str], asked: Sequence[str], *, ignore_single: bool = True
) -> dict[str, str]:
    """Return the phrase of a question that each phrase of its response stands for.

    Args:
        phrases: the phrases of the response.
        asked: the phrases of the question, each once.
        ignore_single: with one phrase asked, every phrase of the response stands for it, whatever
            it says: what is meant is known.

    Returns:
        For each phrase: itself where it was asked; else the one that was asked in another spelling,
        if there is exactly one; else itself.

    >>> asked_spellings(["Dog", "traffic_light", "cat"], ["dog", "traffic light"])
    {'Dog': 'dog', 'traffic_light': 'traffic light', 'cat': 'cat'}
    >>> asked_spellings(["a mug"], ["cup"])
    {'a mug': 'cup'}
    """
    if ignore_single and len(asked) == 1:
        return dict.fromkeys(phrases, asked[0])
    known = set(asked)
    spellings = {phrase: phrase for phrase in phrases}
    if spellings.keys() <= known:
        return spellings
    normal = {phrase: normalise_phrase(phrase) for phrase in asked}
    times = Counter(normal.values())
    asked_by_normal = {key: phrase for phrase, key in normal.items() if times[key] == 1}
    for phrase in spellings:
        if phrase not in known:
            spellings[phrase] = asked_by_normal.get(normalise_phrase(phrase), phrase)
    return spellings


def as_asked(
    prediction: Prediction, asked: Sequence[str], *, ignore_single: bool = True
) -> Prediction:
    """Return a prediction with its phrases in the spelling of the question.

    Args:
        prediction: as it was parsed; it is not changed.
        asked: the phrases of the question, each once.
        ignore_single: as in `asked_spellings`.

    Returns:
        A prediction whose text and problems are the same; the same object where nothing changes.

    >>> from rexkit.structures import Instance
    >>> prediction = Prediction((9, 9), [Instance("Traffic_Light", point=[1, 2])], ["Dog"])
    >>> as_asked(prediction, ["dog", "traffic light"]).phrases
    ['traffic light', 'dog']
    """
    spellings = asked_spellings(prediction.phrases, asked, ignore_single=ignore_single)
    if all(phrase == spelling for phrase, spelling in spellings.items()):
        return prediction
    instances = [
        i if spellings[i.phrase] == i.phrase else replace(i, phrase=spellings[i.phrase])
        for i in prediction.instances
    ]
    absent, order = (
        list(dict.fromkeys(spellings[phrase] for phrase in phrases))
        for phrases in (prediction.absent, prediction.order)
    )
    return replace(prediction, instances=instances, absent=absent, order=order)
