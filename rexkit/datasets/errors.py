"""The error of a row that cannot be used."""

from __future__ import annotations

from rexkit.errors import UserError


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
