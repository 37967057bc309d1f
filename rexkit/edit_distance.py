"""Levenshtein distance of two texts."""

from __future__ import annotations

__all__ = ["edit_distance"]


def edit_distance(a: str, b: str) -> int:
    """Return the Levenshtein distance: insertions, deletions and replacements of characters.

    Each column of the table is held in the bits of two integers: Myers, "A fast
    bit-vector algorithm for approximate string matching" (J. ACM 46, 1999), in the form for whole
    strings of Hyyrö (2003).

    >>> edit_distance("kitten", "sitting"), edit_distance("", "abc"), edit_distance("abc", "abc")
    (3, 3, 0)
    """
    if len(a) < len(b):
        a, b = b, a
    if not b:
        return len(a)
    places: dict[str, int] = {}
    for i, letter in enumerate(a):
        places[letter] = places.get(letter, 0) | 1 << i
    every, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    # The rows at which the table rises, and falls, by one.
    rising, falling, distance = every, 0, len(a)
    for letter in b:
        equal = places.get(letter, 0)
        diagonal = (((equal & rising) + rising) ^ rising) | equal | falling
        right_rising = falling | (every & ~(diagonal | rising))
        right_falling = rising & diagonal
        distance += bool(right_rising & last) - bool(right_falling & last)
        right_rising = right_rising << 1 | 1
        rising = (right_falling << 1 | (every & ~(diagonal | right_rising))) & every
        falling = right_rising & diagonal & every
    return distance
