"""Base class of tasks that ask for phrases and expect one geometry for each instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from rexkit.errors import DataError
from rexkit.grammar.forms import AnswerForm, SpanForm
from rexkit.grammar.writer import Geometry, write
from rexkit.phrases import clean_phrase
from rexkit.structures import Annotation, Example, ImageSize, Instance, Question, Sample
from rexkit.tasks.instance_order import sort_from_left
from rexkit.tasks.negative_sampling import NegativeSampler
from rexkit.tasks.prompt_sets import Diverse
from rexkit.tasks.task import QuestionArguments, Task
from rexkit.tasks.wordings import Wordings
from rexkit.tasks.writable import with_area, writable

DEFAULT_NEGATIVES = 5
"""How many ``extra_categories`` a question asks for, where ``num_negatives`` does not say it."""


class PhraseTask(Task):
    """Asks for phrases and expects one geometry for each of their instances.

    A subclass defines the geometry and the templates; `prompt` is the same code in training,
    testing and inference.

    Args:
        templates: as in `Task`, with the placeholder ``{phrases}``.
        extra_categories: negative categories that may be asked for although no sample has them;
            one that is in the image, in whatever spelling, is never used as a negative.
        num_negatives: how many ``extra_categories`` are added to each question: a number, or
            (fewest, most) to draw it from; left out, `DEFAULT_NEGATIVES` (5). Where there are
            fewer, all are added, so ``len(extra_categories)`` always adds all, as the public
            Rex-Omni training code does. An image without any phrase is asked for one at least.
        num_categories: the most phrases of a question: a number, or (fewest, most) to draw it from;
            None asks for every phrase of the sample.
        shuffle_categories: ask in random order in training. Tests ask in the order of the dataset's
            ``categories`` where it has them (``Annotation.extra``, as the public evaluation set
            does), otherwise in alphabetical order, which is independent of the ground truth.
        left_to_right: write the instances of a phrase from left to right, as the Rex-Omni weights
            do (see `rexkit.tasks.instance_order`); otherwise in the order of the source.
        negatives: which ``extra_categories`` are added: "random", "confusable", "cooccurring", or a
            dict of their shares; see `rexkit.tasks.negative_sampling.NegativeSampler`.
        synonyms: other words for phrases, by phrase. Training asks for a phrase in words drawn from
            these and its own; the response repeats them. Tests use the phrase itself.
        plural_rate: how often training asks for a phrase in its English plural, from 0 to 1.
    """

    geometry: ClassVar[Geometry]
    placeholders: ClassVar[tuple[str, ...]] = ("phrases",)

    def __init__(
        self,
        templates: Sequence[str] | Diverse | None = None,
        extra_categories: Sequence[str] = (),
        num_negatives: int | tuple[int, int] | None = None,
        num_categories: int | tuple[int, int] | None = None,
        shuffle_categories: bool = True,
        left_to_right: bool = False,
        negatives: str | Mapping[str, float] = "random",
        synonyms: Mapping[str, Sequence[str]] | None = None,
        plural_rate: float = 0.0,
    ):
        super().__init__(templates)
        self.negatives = NegativeSampler(negatives)
        self.wordings = Wordings(synonyms, plural_rate)
        if isinstance(extra_categories, str):
            raise ValueError(
                f"extra_categories: must be a list of phrases, got {extra_categories!r}"
            )
        if num_negatives is not None and _most(num_negatives) > 0 and not extra_categories:
            raise ValueError(
                f"num_negatives: {num_negatives} negative categories cannot be drawn without "
                "extra_categories; give the task a list of them"
            )
        try:
            names = [clean_phrase(phrase) for phrase in extra_categories]
        except DataError as error:
            raise ValueError(f"extra_categories: {error.reason}") from error
        self.extra_categories = tuple(dict.fromkeys(names))
        self.num_negatives = DEFAULT_NEGATIVES if num_negatives is None else num_negatives
        self.num_categories = num_categories
        self.shuffle_categories = shuffle_categories
        self.left_to_right = left_to_right

    def prompt(self, phrases: Sequence[str], rng: np.random.Generator | None = None) -> str:
        """Return the prompt for some phrases, in the first template or in one drawn by ``rng``."""
        return self.template(rng).replace("{phrases}", self.listed(phrases, rng))

    def response(self, target: Annotation, phrases: Sequence[str]) -> str:
        """Return the training response for a target, without its ignored instances."""
        seen = [i for i in target.instances if not i.ignore]
        if self.left_to_right:
            seen = sort_from_left(seen, self.geometry, target.image_size)
        return write(seen, target.image_size, phrases=phrases, geometry=self.geometry)

    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        """Return the question for the given categories, each once."""
        if not arguments.categories:
            raise ValueError(f"categories: the task {self.name!r} needs at least one")
        phrases = [clean_phrase(phrase) for phrase in dict.fromkeys(arguments.categories)]
        return Question(self.prompt(phrases), phrases, self.name)

    def answer_form(self, question: Question) -> AnswerForm:
        """Return the span format with the phrases and the task's geometry."""
        return SpanForm(tuple(question.phrases), self.geometry)

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """Return one question about a sample; see `Task.example`."""
        annotation = self._usable(sample)
        named = annotation.phrases
        if training and self.wordings:
            annotation = self.wordings.reworded(annotation, rng)
        phrases = self._phrases(annotation, rng, training, named)
        if not phrases:
            raise DataError(
                f"{type(self).__name__} has nothing to ask for: no instance has the geometry of "
                f"the task {self.name!r}, and there is no negative category; give the task "
                "extra_categories",
                sample.source,
            )
        if training and self.shuffle_categories:
            phrases = [phrases[i] for i in rng.permutation(len(phrases))]
        elif not training:
            phrases = _in_order(phrases, annotation)
        target = self._target(annotation, phrases)
        prompt = self.prompt(phrases, rng if training else None)
        response = self.response(target, phrases)
        return Example(sample, Question(prompt, phrases, self.name), response, target)

    def answerable(self, instance: Instance) -> Instance | None:
        """Return the instance with the task's geometry, or None if it has none."""
        return instance if getattr(instance, self.geometry) is not None else None

    def _usable(self, sample: Sample) -> Annotation:
        """Return the annotation as a response of this task can state it exactly."""
        annotation = writable(sample.annotation, sample.source)
        return with_area(annotation) if self.geometry == "bbox" else annotation

    def _phrases(
        self,
        annotation: Annotation,
        rng: np.random.Generator,
        training: bool,
        named: Sequence[str],
    ) -> list[str]:
        seen = [i for i in annotation.instances if not i.ignore]
        # A phrase with an instance that cannot be written has no correct response.
        unwritable = {i.phrase for i in seen if self.answerable(i) is None}
        known = [p for p in dict.fromkeys([i.phrase for i in seen]) if p not in unwritable]
        known += annotation.absent
        if not training:
            known = _listed(annotation) or known
        given = (*annotation.phrases, *known)
        spellings = {word for phrase in given for word in self.wordings.spellings(phrase)}
        others = [p for p in self.extra_categories if not self.wordings.may_mean(p, spellings)]
        number = _draw(self.num_negatives, rng)
        if not known:  # an image without phrases can be asked for negatives only
            number = max(number, min(1, _most(self.num_negatives)))
        number = min(number, len(others))
        chosen = known + self.negatives.draw(named, others, number, rng)
        if self.num_categories is not None:
            number = min(_draw(self.num_categories, rng), len(chosen))
            chosen = [chosen[i] for i in sorted(rng.permutation(len(chosen))[:number])]
        return chosen

    def _target(self, annotation: Annotation, phrases: list[str]) -> Annotation:
        chosen = [i for i in annotation.instances if i.phrase in phrases]
        instances = [fit for i in chosen if (fit := self.answerable(i)) is not None]
        present = {i.phrase for i in chosen}
        absent = [p for p in phrases if p not in present]
        return Annotation(annotation.image_size, instances, absent, extra=annotation.extra)


def _listed(annotation: Annotation) -> list[str]:
    """Return the categories that the dataset asks for, in its order; none if it does not say."""
    return list(dict.fromkeys(annotation.extra.get("categories", ())))


def _in_order(phrases: Sequence[str], annotation: Annotation) -> list[str]:
    """Return phrases in the order of the dataset, the others in alphabetical order after them."""
    listed = [p for p in _listed(annotation) if p in phrases]
    return listed + sorted(p for p in phrases if p not in listed)


def _draw(number: Any, rng: np.random.Generator) -> int:
    if isinstance(number, int):
        return number
    low, high = number
    return int(rng.integers(low, high + 1))


def _most(number: Any) -> int:
    return number if isinstance(number, int) else int(number[1])
