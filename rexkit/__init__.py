"""rexkit: fine-tune, run, score and show vision-language models that answer in text.

>>> from rexkit import grammar
>>> answer = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><999><999><|box_end|>"
>>> grammar.read(answer, image_size=(640, 480)).to_dict()
{'cup': [{'type': 'box', 'coords': [0.0, 0.0, 640.0, 480.0]}]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rexkit.registry import (
    BACKENDS,
    DATASETS,
    METRICS,
    MODELS,
    PARSERS,
    REWARDS,
    TASK_FNS,
    TRAINERS,
    TRANSFORMS,
    VISUALIZERS,
)
from rexkit.structures import Annotation, Example, Instance, Prediction, Problem, Sample

if TYPE_CHECKING:
    from rexkit.inference.predictor import Predictor as Predictor

__version__ = "0.2.0"

__all__ = [
    "BACKENDS",
    "DATASETS",
    "METRICS",
    "MODELS",
    "PARSERS",
    "REWARDS",
    "TASK_FNS",
    "TRAINERS",
    "TRANSFORMS",
    "VISUALIZERS",
    "Annotation",
    "Example",
    "Instance",
    "Prediction",
    "Problem",
    "Sample",
]


def __getattr__(name: str) -> Any:
    """`Predictor`, imported when it is first asked for, since it needs torch."""
    if name == "Predictor":
        from rexkit.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module 'rexkit' has no attribute {name!r}")
