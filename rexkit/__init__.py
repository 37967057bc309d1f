"""rexkit: fine-tune, run, score and show vision-language models that answer in text.

>>> from rexkit import grammar
>>> answer = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><999><999><|box_end|>"
>>> grammar.read(answer, image_size=(640, 480)).to_dict()
{'cup': [{'type': 'box', 'coords': [0.0, 0.0, 640.0, 480.0]}]}
"""

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

__version__ = "0.1.0"

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
