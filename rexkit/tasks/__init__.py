"""Tasks: how a question is asked and what its answer is."""

from rexkit.tasks.grounding import GroundingTask
from rexkit.tasks.ocr import OCRBoxTask, OCRPolygonTask
from rexkit.tasks.phrase import PhraseTask
from rexkit.tasks.pointing import PointingTask
from rexkit.tasks.task import Question, Task

__all__ = [
    "GroundingTask",
    "OCRBoxTask",
    "OCRPolygonTask",
    "PhraseTask",
    "PointingTask",
    "Question",
    "Task",
]
