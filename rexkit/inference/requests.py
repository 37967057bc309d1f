"""From a question to a request, and from what was generated to a prediction: one way for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rexkit.backends import Backend, Generation, Request, with_scores
from rexkit.structures import ImageSize, Prediction
from rexkit.tasks import Question, Task

if TYPE_CHECKING:
    from PIL.Image import Image


def request(image: Image, task: Task, question: Question) -> Request:
    """What a backend is asked, with the form of the answer for those that constrain."""
    return Request(image, question.prompt, task.answer_form(question))


def parse_generation(
    generation: Generation, parser: Any, image_size: ImageSize, backend: Backend
) -> Prediction:
    """What an answer says, with a score for each instance where the backend tells enough.

    Args:
        generation: the answer.
        parser: of PARSERS, that of the task.
        image_size: (width, height) of the original image.
        backend: who answered.
    """
    prediction: Prediction = parser(generation.text, image_size)
    if backend.vocabulary is None:
        return prediction
    return with_scores(prediction, generation, backend.vocabulary)
