"""Models: a vision-language model with its processor, pretrained or tiny."""

from rexkit.models.pretrained import PretrainedVLM
from rexkit.models.tiny import TinyVLM
from rexkit.models.vlm import VLM

__all__ = ["VLM", "PretrainedVLM", "TinyVLM"]
