"""Tasks that ask for phrases and answer with one geometry for each instance found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from rexkit.errors import DataError
from rexkit.grammar.forms import AnswerForm, SpanForm
from rexkit.grammar.writer import Geometry, legal_phrase, write
from rexkit.structures import Annotation, Example, ImageSize, Instance, Question, Sample
from rexkit.tasks.task import QuestionArguments, Task


class PhraseTask(Task):
    """Asks for phrases and answers with one geometry for each instance found.

    A subclass names the geometry and the templates; `prompt` is the same code in training,
    testing and one's own inference.

    Args:
        templates: as of `Task`, with a ``{phrases}`` place.
        extra_categories: phrases that may be asked although no sample names them; those in the
            image are never taken for absent.
        num_negatives: how many of ``extra_categories`` are added to each sample as negatives: a
            number, or (fewest, most).
        num_categories: at most how many phrases are asked, (fewest, most) drawn by seed or a
            number; None asks for every phrase the sample knows.
        shuffle_categories: ask in random order in training. Testing asks in alphabetical order,
            which tells nothing about the answer.
        left_to_right: answer with the instances of a phrase from left to right, so that a small
            model knows which comes next; otherwise in the order of the source.
    """

    geometry: ClassVar[Geometry]
    places: ClassVar[tuple[str, ...]] = ("phrases",)

    def __init__(
        self,
        templates: Sequence[str] | None = None,
        extra_categories: Sequence[str] = (),
        num_negatives: int | tuple[int, int] = 0,
        num_categories: int | tuple[int, int] | None = None,
        shuffle_categories: bool = True,
        left_to_right: bool = False,
    ):
        super().__init__(templates)
        self.extra_categories = tuple(extra_categories)
        self.num_negatives = num_negatives
        self.num_categories = num_categories
        self.shuffle_categories = shuffle_categories
        self.left_to_right = left_to_right

    def prompt(self, phrases: Sequence[str], rng: np.random.Generator | None = None) -> str:
        """The question for some phrases; with a generator, in a template drawn by it."""
        return self.template(rng).replace("{phrases}", ", ".join(phrases))

    def response(self, target: Annotation, phrases: Sequence[str]) -> str:
        """The answer that training learns to write; ignored instances are left out."""
        seen = [i for i in target.instances if not i.ignore]
        if self.left_to_right:
            seen.sort(key=self._left)
        return write(seen, target.image_size, phrases=phrases, geometry=self.geometry)

    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        if not arguments.categories:
            raise ValueError(f"categories: the task {self.name!r} needs at least one")
        phrases = [legal_phrase(phrase) for phrase in dict.fromkeys(arguments.categories)]
        return Question(self.prompt(phrases), phrases, self.name)

    def answer_form(self, question: Question) -> AnswerForm:
        return SpanForm(tuple(question.phrases), self.geometry)

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        phrases = self._ask(sample.annotation, rng)
        if not phrases:
            raise DataError(
                f"{type(self).__name__} finds nothing to ask: no instance has the geometry of a "
                f"{self.name} answer, and no phrase is known to be absent; give the task "
                "extra_categories and num_negatives",
                sample.source,
            )
        if training and self.shuffle_categories:
            phrases = [phrases[i] for i in rng.permutation(len(phrases))]
        elif not training:
            phrases = sorted(phrases)
        target = self._target(sample.annotation, phrases)
        prompt = self.prompt(phrases, rng if training else None)
        response = self.response(target, phrases)
        return Example(sample, Question(prompt, phrases, self.name), response, target)

    def answerable(self, instance: Instance) -> Instance | None:
        """The instance with the geometry this task writes, or None where it has none."""
        return instance if getattr(instance, self.geometry) is not None else None

    def _left(self, instance: Instance) -> float:
        return float(np.min(getattr(instance, self.geometry).reshape(-1, 2)[:, 0]))

    def _ask(self, truth: Annotation, rng: np.random.Generator) -> list[str]:
        seen = [i for i in truth.instances if not i.ignore]
        # Asked only where every instance can be answered: the rest is there, so None were wrong.
        mute = {i.phrase for i in seen if self.answerable(i) is None}
        known = [p for p in dict.fromkeys([i.phrase for i in seen]) if p not in mute]
        known += truth.absent
        others = [p for p in self.extra_categories if p not in truth.phrases]
        number = min(_draw(self.num_negatives, rng), len(others))
        asked = known + [others[i] for i in rng.permutation(len(others))[:number]]
        if self.num_categories is not None:
            number = min(_draw(self.num_categories, rng), len(asked))
            asked = [asked[i] for i in sorted(rng.permutation(len(asked))[:number])]
        return asked

    def _target(self, truth: Annotation, phrases: list[str]) -> Annotation:
        asked = [i for i in truth.instances if i.phrase in phrases]
        instances = [fit for i in asked if (fit := self.answerable(i)) is not None]
        present = {i.phrase for i in instances}
        return Annotation(truth.image_size, instances, [p for p in phrases if p not in present])


def _draw(number: Any, rng: np.random.Generator) -> int:
    if isinstance(number, int):
        return number
    low, high = number
    return int(rng.integers(low, high + 1))
