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
        prompt: the question in words, without chat markup or image.
        phrases: what is asked for, in the order of the prompt.
        keypoints: the names of keypoints asked for; where there are none, those of the task.
    """

    prompt: str
    phrases: list[str]
    keypoints: tuple[str, ...] = ()


@dataclass(slots=True)
class Subject:
    """What a question is about.

    Attributes:
        image_size: (width, height) of the image.
        categories: what to look for.
        keypoint_type: whose keypoints: a schema such as "person".
        reference_boxes: (N, 4) xyxy pixels, examples of what to look for.
    """

    image_size: ImageSize
    categories: Sequence[str] = ()
    keypoint_type: str | None = None
    reference_boxes: ArrayLike | None = None

    @property
    def given(self) -> list[str]:
        """The names of what is told besides the size."""
        told = {
            "categories": len(self.categories) > 0,
            "keypoint_type": self.keypoint_type is not None,
            "reference_boxes": self.reference_boxes is not None,
        }
        return [name for name, is_told in told.items() if is_told]


class Task(ABC):
    """A kind of question about an image.

    Args:
        templates: prompts; training draws one by seed, testing and inference use the first. Left
            out, the class's own.

    Attributes:
        name: what it goes by in figures, files and `Predictor.predict`: "detection".
        parser: config of PARSERS, how its answers are read.
        metrics: names or configs of METRICS, how they are scored.
        results_dir: the folder of its results, as the public Rex-Omni evaluation names them:
            "box_eval". A class that sets only a name gets ``NAME_eval``.
        templates: prompts.
        places: names that stand in braces in every template.
        has_use_for: which fields of a `Subject` the task asks by.
    """

    name: ClassVar[str]
    results_dir: ClassVar[str]
    parser: Mapping[str, Any] = {"type": "SpanParser"}
    metrics: ClassVar[tuple[str | Mapping[str, Any], ...]]
    templates: ClassVar[tuple[str, ...]] = ()
    places: ClassVar[tuple[str, ...]] = ()
    has_use_for: ClassVar[tuple[str, ...]] = ("categories",)

    def __init__(self, templates: Sequence[str] | None = None):
        self.prompt_templates = tuple(type(self).templates if templates is None else templates)
        for template in self.prompt_templates:
            for place in self.places:
                if f"{{{place}}}" not in template:
                    raise ValueError(f"templates: {template!r} has no place for {{{place}}}")

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "name" in vars(cls) and "results_dir" not in vars(cls):
            cls.results_dir = f"{cls.name}_eval"

    @abstractmethod
    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """One question about a sample, with its answer.

        Args:
            sample: an image with its truth.
            rng: draws whatever is drawn; the same generator, the same example.
            training: whether the words and their order are drawn too; in testing they are fixed.

        Raises:
            DataError: the sample holds nothing that this task could ask for.
        """

    def ask(
        self,
        image_size: ImageSize,
        *,
        categories: Sequence[str] = (),
        keypoint_type: str | None = None,
        reference_boxes: ArrayLike | None = None,
    ) -> Question:
        """The question for an image of one's own, in the words that testing uses.

        Args:
            image_size, categories, keypoint_type, reference_boxes: as of `Subject`.

        Raises:
            ValueError: something the task needs is not given, or something it has no use for is.
        """
        subject = Subject(image_size, categories, keypoint_type, reference_boxes)
        for name in subject.given:
            if name not in self.has_use_for:
                raise ValueError(f"{name}: {self.name} has no use for it")
        return self.question(subject)

    @abstractmethod
    def question(self, subject: Subject) -> Question:
        """The question about a subject that holds nothing the task has no use for.

        Raises:
            ValueError: something the task needs is not told.
        """

    def template(self, rng: np.random.Generator | None = None) -> str:
        """The first template; with a generator, one drawn by it."""
        return self.prompt_templates[0 if rng is None else rng.integers(len(self.prompt_templates))]

    def answer_form(self, question: Question) -> AnswerForm | None:
        """The form every answer to a question has, for constrained decoding; None: not told."""
        return None
