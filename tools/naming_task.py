"""A custom task for pre-training: the phrases of given boxes."""

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
    """Ask for the phrases of given boxes.

    The reverse of grounding: the model learns the appearance of phrases before locating them.
    """

    name = "naming"
    metrics = ()
    accepts = ("visual_prompt_boxes",)

    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        """Return the question about the given boxes."""
        boxes = np.reshape(np.asarray(arguments.visual_prompt_boxes, dtype=np.float64), (-1, 4))
        instances = [Instance("", bbox=box) for box in boxes]
        return Question(_prompt(instances, Annotation(image_size)), [], self.name)

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """Return the question about all objects, in random order."""
        target = sample.annotation
        instances = [target.instances[i] for i in rng.permutation(len(target.instances))]
        names = [f"{OBJECT_REF_START}{instance.phrase}{OBJECT_REF_END}" for instance in instances]
        question = Question(
            _prompt(instances, target), [instance.phrase for instance in instances], self.name
        )
        return Example(sample, question, SPAN_SEPARATOR.join(names), target)


def _prompt(instances: list[Instance], target: Annotation) -> str:
    return f"What is at {', '.join(_place(instance, target) for instance in instances)}?"


def _place(instance: Any, target: Annotation) -> str:
    """The coordinate tokens of a box, as the grammar spells them."""
    span = write([instance], target.image_size, geometry="bbox")
    return span.partition("<|box_start|>")[2].removesuffix("<|box_end|>")
