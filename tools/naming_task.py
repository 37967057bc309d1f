"""A task of one's own, used in pre-training: name what is at a place."""

from __future__ import annotations

from typing import Any

import numpy as np

from rexkit.grammar import write
from rexkit.grammar.tokens import OBJECT_REF_END, OBJECT_REF_START, SPAN_SEPARATOR
from rexkit.registry import TASK_FNS
from rexkit.structures import Annotation, Example, ImageSize, Instance, Sample
from rexkit.tasks import Question, QuestionArguments, Task


@TASK_FNS.register_module()
class NamingTask(Task):
    """Asks what is at some boxes; the answer is their phrases.

    The reverse of grounding: it teaches what words look like before they must be found.
    """

    name = "naming"
    metrics = ()
    accepts = ("visual_prompt_boxes",)

    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        """Return the question about the given boxes."""
        boxes = np.reshape(np.asarray(arguments.visual_prompt_boxes, dtype=np.float64), (-1, 4))
        things = [Instance("", bbox=box) for box in boxes]
        return Question(_prompt(things, Annotation(image_size)), [], self.name)

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """All objects in random order."""
        truth = sample.annotation
        things = [truth.instances[i] for i in rng.permutation(len(truth.instances))]
        names = [f"{OBJECT_REF_START}{thing.phrase}{OBJECT_REF_END}" for thing in things]
        question = Question(_prompt(things, truth), [thing.phrase for thing in things], self.name)
        return Example(sample, question, SPAN_SEPARATOR.join(names), truth)


def _prompt(things: list[Instance], truth: Annotation) -> str:
    return f"What is at {', '.join(_place(thing, truth) for thing in things)}?"


def _place(thing: Any, truth: Annotation) -> str:
    """The coordinate tokens of a box, as the grammar spells them."""
    span = write([thing], truth.image_size, geometry="bbox")
    return span.partition("<|box_start|>")[2].removesuffix("<|box_end|>")
