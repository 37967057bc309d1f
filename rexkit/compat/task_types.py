"""The tasks of the public wrapper, by name and by enum member."""

from __future__ import annotations

from enum import Enum
from typing import Any

from rexkit.errors import UserError, did_you_mean
from rexkit.tasks import GroundingTask, PointingTask, Task
from rexkit.tasks.named import task_named

_ELEMENT_BOX = ('Detect element "{phrases}"" in the image.',)
"""As the Rex-Omni weights were trained, the doubled quotation mark included."""
_ELEMENT_POINT = ('Point to element "{phrases}".',)


class TaskType(Enum):
    """The tasks of `rexkit.compat.RexOmniWrapper`.

    >>> TaskType("gui_grounding")
    <TaskType.GUI_DETECTION: 'gui_grounding'>
    """

    DETECTION = "detection"
    POINTING = "pointing"
    VISUAL_PROMPTING = "visual_prompting"
    KEYPOINT = "keypoint"
    OCR_BOX = "ocr_box"
    OCR_POLYGON = "ocr_polygon"
    GUI_DETECTION = "gui_grounding"
    GUI_POINTING = "gui_pointing"


def find_task_type(task: Any) -> TaskType:
    """Return a task type, given itself or its value in any case.

    Raises:
        UserError: there is no such task.

    >>> find_task_type("OCR_Box")
    <TaskType.OCR_BOX: 'ocr_box'>
    """
    if isinstance(task, TaskType):
        return task
    known = [member.value for member in TaskType]
    if not isinstance(task, str):
        raise UserError(f"task: expected a TaskType or one of {', '.join(known)}, got {task!r}")
    if task.lower() not in known:
        raise UserError(f"task: there is no {task!r}; {did_you_mean(task.lower(), known)}")
    return TaskType(task.lower())


def find_task_types(tasks: Any) -> list[TaskType]:
    """Return the task type of each of several tasks, as `find_task_type` does."""
    return [find_task_type(task) for task in tasks]


def build_task(task_type: TaskType) -> Task:
    """Return the task that asks the question of the public wrapper."""
    if task_type is TaskType.GUI_DETECTION:
        return GroundingTask(_ELEMENT_BOX)
    if task_type is TaskType.GUI_POINTING:
        return PointingTask(_ELEMENT_POINT)
    return task_named(task_type.value)
