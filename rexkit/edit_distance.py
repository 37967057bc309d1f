"""How many letters have to change to make one text of another."""

from __future__ import annotations

__all__ = ["edit_distance"]


def edit_distance(a: str, b: str) -> int:
    """The Levenshtein distance: insertions, deletions and replacements of single characters.

    The columns of the table are bits of two whole numbers, a column a step: Myers, "A fast
    bit-vector algorithm for approximate string matching" (J. ACM 46, 1999), in the form for whole
    strings of Hyyrö (2003). Python's numbers have as many bits as the longer text needs.

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
    # Where the table grows, and where it falls, by one from one row to the next.
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
