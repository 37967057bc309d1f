"""Fine-tune, run, evaluate and draw vision-language models that answer in text.

>>> from rexkit import grammar
>>> text = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><999><999><|box_end|>"
>>> grammar.read(text, image_size=(640, 480)).to_dict()
{'cup': [{'type': 'box', 'coords': [0.0, 0.0, 640.0, 480.0]}]}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexkit.errors import ConfigError, DataError, UserError
from rexkit.lazy_names import lazy_names
from rexkit.plugins import hook
from rexkit.registry import (
    BACKENDS,
    DATASETS,
    FORMATS,
    MASKERS,
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
    "FORMATS",
    "MASKERS",
    "METRICS",
    "MODELS",
    "PARSERS",
    "REWARDS",
    "TASK_FNS",
    "TRAINERS",
    "TRANSFORMS",
    "VISUALIZERS",
    "Annotation",
    "ConfigError",
    "DataError",
    "Example",
    "Instance",
    "Prediction",
    "Predictor",
    "Problem",
    "Sample",
    "UserError",
    "hook",
]

__getattr__ = lazy_names(__name__, {"Predictor": "rexkit.inference.predictor"})
