"""The base class of tasks, and the arguments of their questions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from rexkit.grammar.forms import AnswerForm
from rexkit.structures import Example, ImageSize, Question, Sample
from rexkit.tasks.prompt_sets import DIVERSE, LIST_STYLES, PROMPT_SETS, Diverse, join_phrases


@dataclass(slots=True)
class QuestionArguments:
    """What a question asks for; each task accepts some of the fields.

    Attributes:
        categories: the phrases to look for.
        keypoint_type: the keypoint schema, such as "person".
        visual_prompt_boxes: (N, 4) xyxy pixels of the original image, around example objects.
    """

    categories: Sequence[str] = ()
    keypoint_type: str | None = None
    visual_prompt_boxes: ArrayLike | None = None

    @property
    def given(self) -> list[str]:
        """The names of the fields that are set."""
        is_given = {
            "categories": len(self.categories) > 0,
            "keypoint_type": self.keypoint_type is not None,
            "visual_prompt_boxes": self.visual_prompt_boxes is not None,
        }
        return [name for name, value in is_given.items() if value]


class Task(ABC):
    """A kind of question about an image.

    Args:
        templates: prompts; training draws one at random, testing and inference use the first.
            None takes the templates of the class, "diverse" those and the larger set of
            `rexkit.tasks.prompt_sets`, in which lists of phrases have several styles too.

    Attributes:
        name: used in metrics, files and `Predictor.predict`, such as "detection".
        parser: config of PARSERS, which parses the completions.
        metrics: names or configs of METRICS.
        results_dir: the folder of its results, named as in the public Rex-Omni evaluation, such as
            "box_eval". If a class sets only ``name``, it is ``NAME_eval``.
        templates: prompts.
        placeholders: the names in braces that every template must contain.
        accepts: the fields of `QuestionArguments` that the task accepts.
    """

    name: ClassVar[str]
    results_dir: ClassVar[str]
    parser: Mapping[str, Any] = {"type": "SpanParser"}
    metrics: ClassVar[tuple[str | Mapping[str, Any], ...]]
    templates: ClassVar[tuple[str, ...]] = ()
    placeholders: ClassVar[tuple[str, ...]] = ()
    accepts: ClassVar[tuple[str, ...]] = ("categories",)

    def __init__(self, templates: Sequence[str] | Diverse | None = None):
        self.diverse = templates == DIVERSE
        if self.diverse:
            templates = (*type(self).templates, *self._prompt_set())
        elif isinstance(templates, str):
            raise ValueError(f"templates: must be a list or {DIVERSE!r}, got {templates!r}")
        self.prompt_templates = tuple(type(self).templates if templates is None else templates)
        if templates is not None and not self.prompt_templates:
            raise ValueError("templates: an empty list asks nothing; give at least one")
        for template in self.prompt_templates:
            for name in self.placeholders:
                if f"{{{name}}}" not in template:
                    raise ValueError(
                        f"templates: {template!r} does not contain the placeholder {{{name}}}"
                    )

    def _prompt_set(self) -> tuple[str, ...]:
        """Return the larger set of templates of the task."""
        if self.name not in PROMPT_SETS:
            raise ValueError(
                f"templates: there is no {DIVERSE!r} set for the task {self.name!r}; give a list"
            )
        return PROMPT_SETS[self.name]

    def listed(self, phrases: Sequence[str], rng: np.random.Generator | None = None) -> str:
        """Return phrases as a list in words; with diverse templates in a style drawn by ``rng``."""
        if rng is None or not self.diverse:
            return ", ".join(phrases)
        return join_phrases(list(phrases), LIST_STYLES[int(rng.integers(len(LIST_STYLES)))])

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "name" in vars(cls) and "results_dir" not in vars(cls):
            cls.results_dir = f"{cls.name}_eval"

    @abstractmethod
    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """Return one question about a sample, with its response and target.

        Args:
            sample: an image with its ground truth.
            rng: the only source of randomness: an equal generator gives an equal example.
            training: whether template and order are drawn as well; in tests they are fixed.

        Raises:
            DataError: the sample has nothing that this task can ask for.
        """

    def question(
        self, image_size: ImageSize, arguments: QuestionArguments | None = None
    ) -> Question:
        """Return the question about an image without ground truth, with the template of tests.

        Args:
            image_size: (width, height) of the image in pixels.
            arguments: what to ask for; None is the same as no field set.

        Raises:
            ValueError: the task needs an argument that is not given, or does not accept one that
                is.

        >>> from rexkit.tasks import GroundingTask
        >>> question = GroundingTask().question((640, 480), QuestionArguments(["cup", "dog"]))
        >>> question.phrases, question.prompt[:16]
        (['cup', 'dog'], 'Detect cup, dog.')
        """
        arguments = arguments or QuestionArguments()
        for name in arguments.given:
            if name not in self.accepts:
                raise ValueError(
                    f"{name}: the task {self.name!r} does not accept it, only "
                    f"{' and '.join(self.accepts) or 'an image'}"
                )
        return self.build_question(image_size, arguments)

    @abstractmethod
    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        """Return the question for arguments that the task accepts; `question` checks that.

        Args:
            image_size: (width, height) of the image in pixels.
            arguments: what to ask for.

        Raises:
            ValueError: an argument that the task needs is not given.
        """

    def template(self, rng: np.random.Generator | None = None) -> str:
        """Return the first template, or one drawn by ``rng``."""
        return self.prompt_templates[0 if rng is None else rng.integers(len(self.prompt_templates))]

    def answer_form(self, question: Question) -> AnswerForm | None:
        """Return the answer format of a question, for constrained decoding, or None without one."""
        return None
