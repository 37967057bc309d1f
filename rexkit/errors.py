"""Errors that people see, and the near misses that go into their messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Something people can mend; the message names it, its place and the next step."""


class ConfigError(UserError):
    """A config that cannot be used; the message names the key and the next step."""


class InterfaceError(UserError):
    """A component that lacks what its registry requires; the message names the missing part."""


class DataError(UserError):
    """A row of a dataset that cannot be used.

    It survives a trip from a worker process: it can be pickled, and built from a message alone.

    Attributes:
        reason: what is wrong with the row, and the next step where there is one.
        source: where the row is, as in ``Sample.source``: "train.annotations.tsv:17".

    >>> str(DataError("bad base64", "train.annotations.tsv:17"))
    'train.annotations.tsv:17: bad base64'
    """

    def __init__(self, reason: str, source: str = ""):
        super().__init__(reason, source)
        self.reason, self.source = reason, source

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}" if self.source else self.reason

    def at(self, source: str) -> DataError:
        """The same error, with its place."""
        return DataError(self.reason, source)


def near_misses(name: str, known: Iterable[str]) -> list[str]:
    """Up to two known names that were probably meant, whatever their case.

    >>> near_misses("groundingtask", ["GroundingTask", "PointingTask"])
    ['GroundingTask', 'PointingTask']
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[n] for n in get_close_matches(name.lower(), by_lower, n=2, cutoff=0.6)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A half sentence for an error message: the near misses, or everything there is.

    >>> did_you_mean("modle", ["model", "trainer"])
    "did you mean 'model'?"
    """
    known = list(known)
    near = near_misses(name, known)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"known are {', '.join(sorted(known))}"
