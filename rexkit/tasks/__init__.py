"""Tasks: the prompts, responses and targets of each kind of question."""

from rexkit.structures import Question
from rexkit.tasks.chat import ChatTask
from rexkit.tasks.grounding import GroundingTask
from rexkit.tasks.keypoint import KeypointTask
from rexkit.tasks.ocr import OCRBoxTask, OCRPolygonTask
from rexkit.tasks.phrase import PhraseTask
from rexkit.tasks.pointing import PointingTask
from rexkit.tasks.task import QuestionArguments, Task
from rexkit.tasks.visual_prompt import VisualPromptTask

__all__ = [
    "ChatTask",
    "GroundingTask",
    "KeypointTask",
    "OCRBoxTask",
    "OCRPolygonTask",
    "PhraseTask",
    "PointingTask",
    "Question",
    "QuestionArguments",
    "Task",
    "VisualPromptTask",
]
