"""TRANSFORMS: changes of an image and its annotation together."""

from rexkit.datasets.transforms.copy_paste import CopyPaste
from rexkit.datasets.transforms.crop import RandomCrop
from rexkit.datasets.transforms.flip import RandomFlip
from rexkit.datasets.transforms.mosaic import Mosaic
from rexkit.datasets.transforms.perspective import RandomPerspective
from rexkit.datasets.transforms.photometric import (
    ColorJitter,
    RandomBlur,
    RandomGrayscale,
    RandomJpeg,
    RandomNoise,
)
from rexkit.datasets.transforms.resize import Resize
from rexkit.datasets.transforms.rotate import RandomRotate, Rotate90
from rexkit.datasets.transforms.text_overlay import TextOverlay
from rexkit.datasets.transforms.warp import Warp
from rexkit.datasets.transforms.warped_annotations import warp_annotation, warp_sample

__all__ = [
    "ColorJitter",
    "CopyPaste",
    "Mosaic",
    "RandomBlur",
    "RandomCrop",
    "RandomFlip",
    "RandomGrayscale",
    "RandomJpeg",
    "RandomNoise",
    "RandomPerspective",
    "RandomRotate",
    "Resize",
    "Rotate90",
    "TextOverlay",
    "Warp",
    "warp_annotation",
    "warp_sample",
]
