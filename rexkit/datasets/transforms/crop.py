"""Random parts of samples."""

from __future__ import annotations

import numpy as np

from rexkit.datasets.transforms.draws import check_share, check_span
from rexkit.datasets.transforms.warp import Warp
from rexkit.datasets.transforms.warped_annotations import warp_annotation
from rexkit.registry import TRANSFORMS
from rexkit.structures import Sample


@TRANSFORMS.register_module()
class RandomCrop:
    """Crops a random part of a sample.

    Instances that are outside are dropped. One that is mostly outside is ignored: it is not asked
    for, and its phrase is no negative either. A part without any instance to ask for is not used:
    after ``attempts`` of them the sample stays whole.

    Args:
        scale: smallest and largest side of the part, as a share of the image's.
        min_visible: an instance is asked for when at least this share of its area is inside, that
            of its box, or else of its mask or polygon. All its geometries are cut to the part;
            keypoints outside are not visible, and an outline or point outside is left out.
        aspect: smallest and largest factor by which the part is wider than the image's shape says.
        attempts: how many parts are drawn until one has an instance.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.5, 1.0),
        min_visible: float = 0.5,
        aspect: tuple[float, float] = (1.0, 1.0),
        attempts: int = 1,
    ):
        self.scale = check_span("scale", scale, 0, 1)
        self.min_visible = check_share("min_visible", min_visible)
        self.aspect = check_span("aspect", aspect, 0.1, 10)
        self.attempts = attempts

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return a random part of the sample."""
        width, height = sample.annotation.image_size
        for _ in range(self.attempts):
            share, across, down = rng.uniform(*self.scale), 1.0, 1.0
            if self.aspect != (1.0, 1.0):
                across = np.sqrt(np.exp(rng.uniform(*np.log(self.aspect))))
                down = 1 / across
            w = min(width, max(1, round(width * share * across)))
            h = min(height, max(1, round(height * share * down)))
            x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            warp = Warp.crop(x, y, (w, h))
            annotation = warp_annotation(sample.annotation, warp, self.min_visible)
            if not sample.annotation.instances or any(not i.ignore for i in annotation.instances):
                return Sample(warp.image(sample.image), annotation, sample.source)
        return sample
