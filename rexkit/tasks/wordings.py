"""Other words for a phrase: its synonyms, and its plural."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.phrases import clean_phrase, normalise_phrase
from rexkit.structures import Annotation

_IRREGULAR = {
    **{"person": "people", "man": "men", "woman": "women", "child": "children"},
    **{"foot": "feet", "tooth": "teeth", "goose": "geese", "mouse": "mice", "ox": "oxen"},
    **{"knife": "knives", "wife": "wives", "leaf": "leaves", "loaf": "loaves", "shelf": "shelves"},
    **{"wolf": "wolves", "calf": "calves", "half": "halves", "potato": "potatoes"},
    **{"tomato": "tomatoes", "cactus": "cacti", "fungus": "fungi"},
}
_UNCHANGED = {"sheep", "deer", "fish", "aircraft", "spacecraft", "series", "species", "scissors",
              "pants", "jeans", "shorts", "glasses", "trousers", "clothing", "furniture",
              "luggage", "equipment", "people", "men", "women", "children", "text"}  # fmt: skip
_PREPOSITIONS = {"of", "in", "on", "with", "at", "for", "from", "near", "under", "behind", "by",
                 "to", "over", "without", "beside", "between"}  # fmt: skip
_DETERMINERS = {"a", "an", "the", "this", "that", "my", "his", "her", "their", "one"}


@lru_cache(maxsize=65536)
def plural(phrase: str) -> str:
    """Return the plural of an English category name; other phrases as they are.

    The word before the first preposition is changed. A phrase with an article or another
    determiner, or in letters other than a-z at its end, is returned unchanged.

    >>> plural("traffic light"), plural("glass of beer"), plural("the left cup"), plural("sheep")
    ('traffic lights', 'glasses of beer', 'the left cup', 'sheep')
    """
    words = phrase.split(" ")
    at = next((i for i, w in enumerate(words) if w.lower() in _PREPOSITIONS), len(words)) - 1
    if at < 0 or any(word.lower() in _DETERMINERS for word in words):
        return phrase
    words[at] = _plural_word(words[at])
    return " ".join(words)


def _plural_word(word: str) -> str:
    lower = word.lower()
    if not (lower.isascii() and lower.isalpha()) or lower in _UNCHANGED or word[-1].isupper():
        return word
    if lower in _IRREGULAR:
        return word[0] + _IRREGULAR[lower][1:]
    for ending in ("man", "foot", "person", "child", "shelf", "mouse"):
        if lower.endswith(ending) and lower not in ("human", "german", "roman"):
            return word[: -len(ending)] + _IRREGULAR[ending]
    if lower.endswith("s") and not lower.endswith(("ss", "us", "is", "as", "lens")):
        return word  # it is a plural already
    if lower.endswith(("s", "x", "z", "ch", "sh")):
        return f"{word}es"
    if lower.endswith("y") and lower[-2:-1] not in ("a", "e", "i", "o", "u", ""):
        return f"{word[:-1]}ies"
    return f"{word}s"


class Wordings:
    """Draws the words in which a phrase is asked for in training.

    Args:
        synonyms: other words for phrases, by phrase.
        plural_rate: how often a phrase is asked for in the plural, from 0 to 1, whatever the number
            of its instances.

    Raises:
        ValueError: an argument is not as described.
    """

    def __init__(self, synonyms: Mapping[str, Sequence[str]] | None, plural_rate: float):
        if not isinstance(plural_rate, int | float) or not 0 <= plural_rate <= 1:
            raise ValueError(f"plural_rate: must be from 0 to 1, got {plural_rate!r}")
        self.plural_rate = plural_rate
        self._words = {
            normalise_phrase(phrase): _clean(phrase, words)
            for phrase, words in _mapping(synonyms).items()
        }

    def __bool__(self) -> bool:
        return bool(self._words or self.plural_rate)

    def every(self, phrase: str) -> list[str]:
        """Return every wording that may be drawn for a phrase, itself included."""
        words = [phrase, *self._words.get(normalise_phrase(phrase), ())]
        return [*words, *map(plural, words)] if self.plural_rate else words

    def _forms(self, word: str) -> list[str]:
        return [word, plural(word)] if self.plural_rate else [word]

    def spellings(self, phrase: str) -> set[str]:
        """Return what a phrase may be called, each as `rexkit.phrases.normalise_phrase` has it.

        It may be a wording itself: then the phrases that it stands for, and their wordings, are
        among them. A negative category must have none of these spellings.
        """
        own, found = normalise_phrase(phrase), {*self.every(phrase)}
        for key, words in self._words.items():
            if own in {normalise_phrase(w) for word in (key, *words) for w in self._forms(word)}:
                found |= {key, *words}
        if self.plural_rate:
            found |= {plural(word) for word in found}
        return {normalise_phrase(word) for word in found}

    def may_mean(self, category: str, spellings: set[str]) -> bool:
        """Return whether a category, or its plural, is among some `spellings`."""
        return any(normalise_phrase(name) in spellings for name in self._forms(category))

    def reworded(self, annotation: Annotation, rng: np.random.Generator) -> Annotation:
        """Return an annotation with other words for its phrases, each drawn anew.

        A wording that could also mean another phrase of the annotation is not taken.
        """
        phrases = list(dict.fromkeys([*_all(annotation), *annotation.absent]))
        meanings: dict[str, set[str]] = {}
        for phrase in phrases:
            for word in self.every(phrase):
                meanings.setdefault(normalise_phrase(word), set()).add(phrase)
        drawn = {}
        for phrase in phrases:
            words = [phrase, *self._words.get(normalise_phrase(phrase), ())]
            word = words[int(rng.integers(len(words)))]
            word = plural(word) if rng.random() < self.plural_rate else word
            drawn[phrase] = word if meanings[normalise_phrase(word)] == {phrase} else phrase
        extra = annotation.extra
        if "categories" in extra:
            extra = {**extra, "categories": [drawn.get(p, p) for p in extra["categories"]]}
        return Annotation(
            annotation.image_size,
            [replace(i, phrase=drawn[i.phrase]) for i in annotation.instances],
            [drawn[phrase] for phrase in annotation.absent],
            extra=extra,
        )


def _all(annotation: Annotation) -> list[str]:
    return [instance.phrase for instance in annotation.instances]


def _mapping(synonyms: Any) -> Mapping[str, Sequence[str]]:
    if synonyms is None:
        return {}
    if not isinstance(synonyms, Mapping):
        raise ValueError(f"synonyms: must be a dict from phrase to a list, got {synonyms!r}")
    return synonyms


def _clean(phrase: Any, words: Any) -> list[str]:
    if not isinstance(words, list | tuple) or not words:
        raise ValueError(f"synonyms: {phrase!r} must have a list of phrases, got {words!r}")
    try:
        return list(dict.fromkeys(clean_phrase(word) for word in words))
    except (DataError, TypeError) as error:
        raise ValueError(f"synonyms: {phrase!r}: {error}") from error
