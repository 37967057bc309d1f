"""Chat task: a question in free text and its answer, with an image or without one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rexkit.errors import DataError
from rexkit.registry import TASK_FNS
from rexkit.structures import Annotation, Example, ImageSize, Question, Sample
from rexkit.tasks.prompt_sets import Diverse
from rexkit.tasks.task import QuestionArguments, Task


@TASK_FNS.register_module()
class ChatTask(Task):
    """Asks the question of a row, and expects its answer word by word.

    Rows have both in ``Annotation.extra``, under ``question`` and ``answer``, as those of
    `rexkit.datasets.ChatDataset`.

    Args:
        templates: prompts with the placeholder ``{question}``, such as
            ``"{question} Answer in one word."``; the first one is the question alone.
    """

    name = "chat"
    parser = {"type": "PlainTextParser"}  # noqa: RUF012 - a class attribute of every task
    metrics = ("AnswerAccuracy",)
    templates = ("{question}",)
    placeholders = ("question",)
    accepts = ()

    def __init__(self, templates: Sequence[str] | Diverse | None = None):
        super().__init__(templates)

    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        """Raise an error: the question is part of the data."""
        raise ValueError(
            f"the task {self.name!r} has no question without data; give it a dataset with questions"
        )

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """Return the question of a sample; see `Task.example`."""
        extra = sample.annotation.extra
        question, answer = extra.get("question"), extra.get("answer")
        if not isinstance(question, str) or not isinstance(answer, str):
            raise DataError(
                "ChatTask needs the question and the answer of a row, in its 'extra'; use "
                "ChatDataset, or another task",
                sample.source,
            )
        prompt = self.template(rng if training else None).replace("{question}", question)
        target = Annotation(sample.annotation.image_size, extra=extra)
        return Example(sample, Question(prompt, [], self.name), answer, target)
