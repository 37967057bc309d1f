"""Tasks: how a question is asked and what its answer is."""

from rexkit.tasks.base import PhraseTask
from rexkit.tasks.grounding import GroundingTask
from rexkit.tasks.pointing import PointingTask

__all__ = ["GroundingTask", "PhraseTask", "PointingTask"]
