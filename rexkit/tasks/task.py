"""What a task is: how it asks, how it answers, and which parser and metrics fit the answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rexkit.grammar.forms import AnswerForm
from rexkit.structures import Example, ImageSize, Sample


@dataclass(slots=True)
class Question:
    """A question without its answer.

    Attributes:
        prompt: the question in words, without chat markup or picture.
        phrases: what is asked for, in the order of the prompt.
        keypoints: the names of keypoints asked for; where there are none, those of the task.
    """

    prompt: str
    phrases: list[str]
    keypoints: tuple[str, ...] = ()


class Task(ABC):
    """A kind of question about a picture.

    Attributes:
        name: what it goes by in figures, files and `Predictor.predict`: "detection".
        parser: config of PARSERS, how its answers are read.
        metrics: names or configs of METRICS, how they are scored.
        results_dir: the folder of its results, as the public Rex-Omni evaluation names them:
            "box_eval". A class that sets only a name gets ``NAME_eval``.
    """

    name: ClassVar[str]
    results_dir: ClassVar[str]
    parser: Mapping[str, Any] = {"type": "SpanParser"}
    metrics: ClassVar[tuple[str | Mapping[str, Any], ...]]

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "name" in vars(cls) and "results_dir" not in vars(cls):
            cls.results_dir = f"{cls.name}_eval"

    @abstractmethod
    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """One question about a sample, with its answer.

        Args:
            sample: a picture with its truth.
            rng: draws whatever is drawn; the same generator, the same example.
            training: whether the words and their order are drawn too; in testing they are fixed.

        Raises:
            DataError: the sample holds nothing that this task could ask for.
        """

    @abstractmethod
    def ask(
        self,
        image_size: ImageSize,
        *,
        categories: Sequence[str] = (),
        keypoint_type: str | None = None,
        reference_boxes: ArrayLike | None = None,
    ) -> Question:
        """The question for a picture of one's own, in the words that testing uses.

        Args:
            image_size: (width, height) of the picture.
            categories: what to look for.
            keypoint_type: whose keypoints: a schema such as "person".
            reference_boxes: (N, 4) xyxy pixels, examples of what to look for.

        Raises:
            ValueError: something the task needs is not given, or something it has no use for is.
        """

    def answer_form(self, question: Question) -> AnswerForm | None:
        """The form every answer to a question has, for constrained decoding; None: not told."""
        return None
