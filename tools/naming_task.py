"""A task of one's own, used in pre-training: name what is at a place."""

from __future__ import annotations

from typing import Any

import numpy as np

from rexkit.grammar import write
from rexkit.grammar.tokens import OBJECT_REF_END, OBJECT_REF_START, SPAN_SEPARATOR
from rexkit.registry import TASK_FNS
from rexkit.structures import Annotation, Example, Instance, Sample
from rexkit.tasks import Question, Subject, Task


@TASK_FNS.register_module()
class NamingTask(Task):
    """Asks what is at some boxes; the answer is their phrases.

    The reverse of grounding: it teaches what words look like before they must be found.
    """

    name = "naming"
    metrics = ()
    has_use_for = ("reference_boxes",)

    def question(self, subject: Subject) -> Question:
        """The question about some boxes."""
        boxes = np.reshape(np.asarray(subject.reference_boxes, dtype=np.float64), (-1, 4))
        things = [Instance("", bbox=box) for box in boxes]
        return Question(_prompt(things, Annotation(subject.image_size)), [])

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """All objects in random order."""
        truth = sample.annotation
        things = [truth.instances[i] for i in rng.permutation(len(truth.instances))]
        names = [f"{OBJECT_REF_START}{thing.phrase}{OBJECT_REF_END}" for thing in things]
        return Example(
            image=sample.image,
            prompt=_prompt(things, truth),
            response=SPAN_SEPARATOR.join(names),
            target=truth,
            phrases=[thing.phrase for thing in things],
            task=self.name,
            source=sample.source,
        )


def _prompt(things: list[Instance], truth: Annotation) -> str:
    return f"What is at {', '.join(_place(thing, truth) for thing in things)}?"


def _place(thing: Any, truth: Annotation) -> str:
    """The coordinate tokens of a box, as the grammar spells them."""
    span = write([thing], truth.image_size, geometry="bbox")
    return span.partition("<|box_start|>")[2].removesuffix("<|box_end|>")
