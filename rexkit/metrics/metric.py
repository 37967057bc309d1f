"""What a metric is: fed one image at a time, read at the end, merged across processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from numpy.typing import NDArray

from rexkit.structures import Annotation, Prediction

State = dict[str, NDArray[Any]]
"""What a metric knows, as plain arrays of numbers and strings: ``np.savez`` writes them and
``np.load`` reads them without pickle."""


class Metric(ABC):
    """A figure over many images.

    The figures depend neither on the order in which images are added, nor on how they were
    divided among metrics that are merged in the end. Phrases are compared letter by letter.
    Instances marked ``ignore`` count neither for nor against.
    """

    @abstractmethod
    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Take note of one answer and its truth, both in pixels of the same image."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The figures by name, for everything added so far."""

    def per_category(self) -> dict[str, dict[str, float]]:
        """The figures of each phrase, for metrics that keep phrases apart; empty for others."""
        return {}

    @abstractmethod
    def state(self) -> State:
        """Everything known so far."""

    @abstractmethod
    def absorb(self, state: State) -> None:
        """Add what another metric of this kind knows."""

    def merge(self, other: Metric) -> None:
        """Add what another metric knows.

        Raises:
            TypeError: it is of another kind.
        """
        if type(other) is not type(self):
            kinds = f"{type(self).__name__} and {type(other).__name__}"
            raise TypeError(f"metrics of different kinds cannot be merged: {kinds}")
        self.absorb(other.state())
