"""The two GUI tasks: a box around an element of a screenshot, or a point on it."""

from __future__ import annotations

from typing import Any

from rexkit import TASK_FNS
from rexkit.component_arguments import accepted_arguments
from rexkit.tasks import PhraseTask, PointingTask


class ElementTask(PhraseTask):
    """Ask for elements of a screenshot, one at a time as benchmarks do.

    Args:
        num_categories: number of elements in one question, or (fewest, most); None asks for every
            element of the screenshot.
        options: the other arguments of `rexkit.tasks.PhraseTask`.
    """

    def __init__(self, num_categories: int | tuple[int, int] | None = 1, **options: Any):
        super().__init__(num_categories=num_categories, **options)

    @classmethod
    def extra_arguments(cls) -> set[str]:
        """Return the names that ``options`` accepts, for the check of configs."""
        return accepted_arguments(PhraseTask) or set()


@TASK_FNS.register_module()
class GUIGroundingTask(ElementTask):
    """Locate an element of a screenshot by a box.

    The first template is the one that the Rex-Omni weights were trained with, its doubled quotation
    mark included. See `ElementTask` for the arguments.

    >>> from rexkit.tasks import QuestionArguments
    >>> arguments = QuestionArguments(["search field"])
    >>> print(GUIGroundingTask().question((1080, 2400), arguments).prompt)
    Detect element "search field"" in the image.
    """

    name = "gui_grounding"
    geometry = "bbox"
    metrics = ("ClickAccuracy", "BoxF1", "Rejection")
    templates = (
        'Detect element "{phrases}"" in the image.',
        'Detect element "{phrases}" in the image.',
        'Detect element "{phrases}".',
    )


@TASK_FNS.register_module()
class GUIPointingTask(ElementTask, PointingTask):
    """Locate an element of a screenshot by a point, as a click needs it.

    The first template is the one that the Rex-Omni weights were trained with. See `ElementTask` for
    the arguments.

    >>> from rexkit.tasks import QuestionArguments
    >>> arguments = QuestionArguments(["search field"])
    >>> print(GUIPointingTask().question((1080, 2400), arguments).prompt)
    Point to element "search field".
    """

    name = "gui_pointing"
    # mypy takes the parent's tuple for one of exactly two.
    metrics = ("ClickAccuracy", "PointF1", "Rejection")  # type: ignore[assignment]
    templates = (
        'Point to element "{phrases}".',
        'Point to element "{phrases}" in the image.',
        'Show me where element "{phrases}" is.',
    )
