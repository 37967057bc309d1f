"""Errors that users can correct, and the near misses that go into their messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

__all__ = [
    "ConfigError",
    "DataError",
    "InterfaceError",
    "StoppedBySignal",
    "UserError",
    "did_you_mean",
    "near_misses",
]


_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class UserError(ValueError):
    """An error that the user can correct: the message says what is wrong, where, and what to do.

    Attributes:
        prefix: put before the message; `rexkit.registry.Registry.build` sets the config key here.
    """

    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.prefix}{super().__str__()}"


class ConfigError(UserError):
    """A config that cannot be used; the message names the key and the next step.

    Attributes:
        messages: of several errors that are reported together; empty for a single one.
    """

    messages: tuple[str, ...] = ()

    @classmethod
    def of_several(cls, messages: Iterable[str]) -> ConfigError:
        """Return one error with several messages, each on a line of its own."""
        # Shared parts of a config, such as a dataset in two sources, fail alike.
        different = tuple(dict.fromkeys(messages))
        if len(different) == 1:
            return cls(different[0])
        error = cls("\n- ".join([f"the config has {len(different)} errors:", *different]))
        error.messages = different
        return error


class StoppedBySignal(KeyboardInterrupt):
    """A signal ended a job; the message says what is left.

    Attributes:
        signum: number of the signal; commands exit with 128 more.
    """

    def __init__(self, message: str, signum: int):
        super().__init__(message)
        self.signum = signum


class InterfaceError(UserError):
    """A component that lacks what its registry requires; the message names the missing part."""


class DataError(UserError):
    """A row of a dataset that cannot be used.

    It survives a trip from a worker process: it can be pickled, and built from a message alone.

    Attributes:
        reason: what is wrong with the row, and the next step where there is one.
        source: where the row is, as in ``Sample.source``: "train.annotations.tsv:17".
        kind: the stage that cannot use it, of `rexkit.datasets.skipped_rows.KINDS`, where known.

    >>> str(DataError("bad base64", "train.annotations.tsv:17"))
    'train.annotations.tsv:17: bad base64'
    """

    def __init__(self, reason: str, source: str = "", kind: str = ""):
        # A row may be as large as its file, and thousands of errors are kept.
        reason, source = shortened(reason), shortened(source)
        super().__init__(reason, source, kind)
        self.reason, self.source, self.kind = reason, source, kind

    def __str__(self) -> str:
        place = f"{self.source}: " if self.source else ""
        return f"{self.prefix}{place}{self.reason}"

    def at(self, source: str) -> DataError:
        """Return the same error with its place."""
        return DataError(self.reason, source, self.kind)


def near_misses(name: str, known: Iterable[str]) -> list[str]:
    """Return up to two known names that were probably meant, whatever their case.

    >>> near_misses("groundingtask", ["GroundingTask", "PointingTask"])
    ['GroundingTask', 'PointingTask']
    """
    by_lower = {candidate.lower(): candidate for candidate in known}
    return [by_lower[n] for n in get_close_matches(name.lower(), by_lower, n=2, cutoff=0.6)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the near misses, or every known name.

    >>> did_you_mean("modle", ["model", "trainer"])
    "did you mean 'model'?"
    """
    known = list(known)
    near = near_misses(name, known)
    if near:
        return f"did you mean {' or '.join(map(repr, near))}?"
    return f"known are {', '.join(sorted(known))}"


def without_controls(text: str) -> str:
    r"""Return a text with control characters, but for newline and tab, written as escapes.

    >>> without_controls("a\x1b[31mb\n")
    'a\\x1b[31mb\n'
    """
    return _CONTROLS.sub(lambda found: ascii(found.group())[1:-1], text)


def shortened(text: str, most: int = 1000) -> str:
    """Return a text with its middle left out where it has more than so many characters.

    >>> shortened("0123456789", 5)
    '01…89'
    """
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


class ErrorCollector:
    """Collects errors that users can correct, so that all of them are reported at once.

    >>> errors = ErrorCollector()
    >>> with errors.collect():
    ...     raise ConfigError("seed: must be a number")
    >>> with errors.collect():
    ...     raise ConfigError("model.type: 'TinyVLN' is not in MODELS")
    >>> errors.raise_all()
    Traceback (most recent call last):
        ...
    rexkit.errors.ConfigError: the config has 2 errors:
    - seed: must be a number
    - model.type: 'TinyVLN' is not in MODELS
    """

    def __init__(self) -> None:
        self.errors: list[UserError | OSError] = []

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep a `UserError` or `OSError` that is raised inside, and go on after the block."""
        try:
            yield
        except (UserError, OSError) as error:
            self.errors.append(error)

    def raise_all(self) -> None:
        """Raise what was collected.

        Raises:
            UserError: the only error, as it was raised.
            OSError: likewise.
            ConfigError: several errors, one on each line; the first one is its cause.
        """
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            messages = [
                message
                for error in self.errors
                for message in (getattr(error, "messages", ()) or [str(error)])
            ]
            raise ConfigError.of_several(messages) from self.errors[0]
