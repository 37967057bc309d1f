"""The base class of metrics: fed one image at a time, merged across processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from numpy.typing import NDArray

from rexkit.phrases import as_asked
from rexkit.structures import Annotation, Prediction

State = dict[str, NDArray[Any]]
"""The state of a metric as plain arrays of numbers and strings: ``np.savez`` writes them and
``np.load`` reads them without pickle."""


class Metric(ABC):
    """Evaluate predictions on many images.

    The values depend neither on the order in which images are added, nor on how they are divided
    among metrics that are merged at the end. Instances marked ``ignore`` count neither as right nor
    as wrong.

    A phrase that was asked for in another spelling is the same phrase (`rexkit.phrases`), and where
    the target has one phrase, that of the prediction is not compared. With ``strict_phrases=True``
    they are compared character by character.

    A subclass implements `add`, `compute`, `state` and `absorb`, and is registered with
    ``METRICS.register_module()``.

    Attributes:
        strict_phrases: whether phrases are compared character by character.
    """

    strict_phrases: bool = False

    @abstractmethod
    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction on one image.

        Args:
            prediction: the prediction, in pixels of the original image.
            target: the ground truth, in pixels of the same image.
        """

    def as_asked(self, prediction: Prediction, target: Annotation) -> Prediction:
        """Return the prediction as it is compared: with the phrases of the target."""
        return prediction if self.strict_phrases else as_asked(prediction, target.phrases)

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return the values by name, over all images added so far."""

    def per_category(self) -> dict[str, dict[str, float]]:
        """Return the values of each phrase; empty for metrics that do not separate phrases."""
        return {}

    @abstractmethod
    def state(self) -> State:
        """Return everything that was added, for `absorb`."""

    @abstractmethod
    def absorb(self, state: State) -> None:
        """Add everything that another metric of this class was given.

        Args:
            state: the other metric's `state`.
        """

    def merge(self, other: Metric) -> None:
        """Add everything that another metric was given.

        Args:
            other: a metric of the same class with the same arguments.

        Raises:
            TypeError: it is of another class.
        """
        if type(other) is not type(self):
            names = f"{type(self).__name__} and {type(other).__name__}"
            raise TypeError(f"cannot merge metrics of different classes: {names}")
        self.absorb(other.state())
