"""Rows that cannot be used: every error has their place and a kind, and one report counts them.

This is the one rule for all stages between a file and a batch: whatever a stage raises about a row
is a `DataError` with the row's place. With ``on_error="raise"`` it ends the run; with "skip" the
row is skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

from rexkit.datasets.row_counts import FEW
from rexkit.errors import DataError

Kind = Literal["annotation", "image", "transform", "task", "model"]
"""The stage that cannot use a row: "model" is its size or length as the input of the model."""

KINDS: tuple[Kind, ...] = get_args(Kind)

SKIP_HINT = "or skip unusable rows with the dataset's on_error='skip'"


@contextmanager
def errors_of_row(place: str, kind: Kind, component: Any = None) -> Iterator[None]:
    """Turn whatever is raised inside into a `DataError` with the place of a row and a kind.

    Args:
        place: of the row; an error that has a place keeps it.
        kind: of the stage; an error that has a kind keeps it.
        component: the transform or task that is called, which an unexpected error is named after.
    """
    try:
        yield
    except DataError as error:
        if error.source and error.kind:
            raise
        raise DataError(error.reason, error.source or place, error.kind or kind) from error
    except Exception as error:
        if component is None:
            reason = f"unexpected {type(error).__name__} ({error})"
        else:
            title = getattr(component, "__name__", type(component).__name__)
            reason = f"{title}: {error if isinstance(error, ValueError) else repr(error)}"
        raise DataError(reason, place, kind) from error


def describe_skipped(errors: Sequence[DataError], num_rows: int) -> str:
    """Return the report of skipped rows: their number by kind, and the first few.

    Args:
        errors: one for each.
        num_rows: of the dataset, with them.

    >>> describe_skipped([DataError("bad JSON", "a.jsonl:3", "annotation")], 12)
    '1 of 12 rows are skipped (1 annotation): a.jsonl:3: bad JSON'
    """
    kinds = Counter(error.kind or KINDS[0] for error in errors)
    counted = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])
    first = "; ".join([*map(str, errors[:FEW]), *(["…"] if len(errors) > FEW else [])])
    return f"{len(errors)} of {num_rows} rows are skipped ({counted}): {first}"
