"""Requests from questions, and predictions from generations, for inference, tests and GRPO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rexkit.backends import Backend, Generation, Request, with_scores
from rexkit.structures import ImageSize, Prediction, Question
from rexkit.tasks import Task

if TYPE_CHECKING:
    from PIL.Image import Image


def build_request(image: Image, task: Task, question: Question) -> Request:
    """Return the request that a question about an image makes to a backend.

    Args:
        image: RGB.
        task: the task of the question; it gives the answer format, for constrained decoding.
        question: of that task.
    """
    return Request(image, question.prompt, task.answer_form(question))


def parse_generation(
    generation: Generation, parser: Any, image_size: ImageSize, backend: Backend
) -> Prediction:
    """Return the prediction of a generation, with scores if the backend has log-probabilities.

    Args:
        generation: of the backend.
        parser: of PARSERS, that of the task.
        image_size: (width, height) of the original image, in pixels.
        backend: the backend that generated it.
    """
    prediction: Prediction = parser(generation.text, image_size)
    if backend.vocabulary is None:
        return prediction
    return with_scores(prediction, generation, backend.vocabulary)
