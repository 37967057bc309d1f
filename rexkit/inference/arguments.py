"""The arguments of a prediction: one value for all images, or a list with one for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from rexkit.errors import UserError
from rexkit.formats.image_sources import ImageSource
from rexkit.tasks import QuestionArguments, Task
from rexkit.tasks.named import task_named


@dataclass
class Arguments:
    """The images of a prediction and what to ask about them.

    Iterating gives (image, task, `QuestionArguments`) for each image.

    Args:
        images: one image, or any number of them.
        task: a task or its name.
        categories: one or several phrases; a list that holds lists has one for each image.
        keypoint_type: a name.
        visual_prompt_boxes: (4,) or (N, 4); one level deeper, one for each image.

    Raises:
        UserError: a list has another length than the images (if those have no length, this is
            raised when either ends), or there is no such task.
    """

    images: ImageSource | Iterable[ImageSource]
    task: Any = "detection"
    categories: Any = None
    keypoint_type: Any = None
    visual_prompt_boxes: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.images, (str, Path, bytes, bytearray, memoryview, Image.Image)) or (
            isinstance(self.images, np.ndarray) and self.images.ndim < 4
        ):
            self.images = [cast(ImageSource, self.images)]
        if not isinstance(self.images, Iterable):
            raise UserError(f"images: expected an image or several, got {self.images!r}")
        self._tasks: dict[str, Task] = {}
        for name, value in self.lists.items():
            if isinstance(self.images, Sequence) and len(value) != len(self.images):
                raise UserError(_wrong_length(name, len(value), str(len(self.images))))
        for task in self.lists.get("task", [self.task]):
            self._task(task)

    @property
    def lists(self) -> dict[str, Sequence[Any]]:
        """The arguments with one value for each image."""
        found: dict[str, Sequence[Any]] = {}
        for name in ("task", "keypoint_type"):
            value = getattr(self, name)
            if isinstance(value, (list, tuple)):
                found[name] = value
        if isinstance(self.categories, (list, tuple)) and not all(
            isinstance(c, str) for c in self.categories
        ):
            found["categories"] = self.categories
        if _depth(self.visual_prompt_boxes) > 2:
            found["visual_prompt_boxes"] = self.visual_prompt_boxes
        return found

    def __iter__(self) -> Iterator[tuple[ImageSource, Task, QuestionArguments]]:
        lists = self.lists
        number = -1
        for number, image in enumerate(cast(Iterable[ImageSource], self.images)):
            given = {n: getattr(self, n) for n in _NAMES}
            for name, values in lists.items():
                if number >= len(values):
                    raise UserError(_wrong_length(name, len(values), f"more than {number}"))
                given[name] = values[number]
            task, categories = given.pop("task"), given.pop("categories")
            phrases = [categories] if isinstance(categories, str) else list(categories or ())
            yield image, self._task(task), QuestionArguments(phrases, **given)
        for name, values in lists.items():
            if len(values) != number + 1:
                raise UserError(_wrong_length(name, len(values), str(number + 1)))

    def _task(self, task: Any) -> Task:
        if isinstance(task, Task):
            return task
        if not isinstance(task, str):
            raise UserError(f"task: expected a task or its name, got {task!r}")
        if task not in self._tasks:
            self._tasks[task] = task_named(task)
        return self._tasks[task]


_NAMES = ("task", "categories", "keypoint_type", "visual_prompt_boxes")


def _wrong_length(name: str, length: int, images: str) -> str:
    return f"{name}: a list of {length} for {images} images; give one for all, or one for each"


def _depth(value: Any) -> int:
    """How many levels of lists: 1 is a box, 2 are boxes, 3 are boxes for each image."""
    if isinstance(value, np.ndarray):
        return value.ndim
    if not isinstance(value, (list, tuple)):
        return 0
    if any(v is None for v in value):
        return 3
    return 1 + max(map(_depth, value), default=0)
