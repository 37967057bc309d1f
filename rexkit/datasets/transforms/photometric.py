"""Changes of colours and sharpness, which leave the annotation as it is."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from rexkit.datasets.transforms.draws import check_share, check_span, happens
from rexkit.registry import TRANSFORMS
from rexkit.structures import Sample

_COLORS = re.compile(
    r"\b(?:red|orange|yellow|green|blue|purple|violet|pink|brown|beige|golden|silver|turquoise|"
    r"cyan|magenta|colou?r(?:ed|ful)?)(?:ish)?\b|[红黄绿蓝紫橙]",
    re.IGNORECASE,
)


@TRANSFORMS.register_module()
class ColorJitter:
    """Changes brightness, contrast and saturation by chance.

    Args:
        strength: each is multiplied by a factor from 1 - strength to 1 + strength.
    """

    def __init__(self, strength: float = 0.2):
        self.strength = strength

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample with changed colours."""
        image: Image.Image = sample.image
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(1 + rng.uniform(-self.strength, self.strength))
        return replace(sample, image=image)


@TRANSFORMS.register_module()
class RandomBlur:
    """Blurs a sample, as one that is out of focus.

    Args:
        radius: smallest and largest standard deviation of the Gaussian, in pixels.
        probability: of blurring, in [0, 1].
    """

    def __init__(self, radius: tuple[float, float] = (0.5, 2.0), probability: float = 0.5):
        self.radius = check_span("radius", radius, 0, 100)
        self.probability = check_share("probability", probability)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample, blurred by chance."""
        if not happens(self.probability, rng):
            return sample
        blur = ImageFilter.GaussianBlur(rng.uniform(*self.radius))
        return replace(sample, image=sample.image.filter(blur))


@TRANSFORMS.register_module()
class RandomNoise:
    """Adds noise to a sample, as that of a sensor in the dark.

    Args:
        deviation: smallest and largest standard deviation of the noise of a channel, of 255.
        probability: of adding it, in [0, 1].
    """

    def __init__(self, deviation: tuple[float, float] = (2.0, 12.0), probability: float = 0.5):
        self.deviation = check_span("deviation", deviation, 0, 255)
        self.probability = check_share("probability", probability)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample, with noise by chance."""
        if not happens(self.probability, rng):
            return sample
        pixels = np.asarray(sample.image)
        noise = rng.standard_normal(pixels.shape, dtype=np.float32)
        noise *= rng.uniform(*self.deviation)
        noise += pixels
        np.rint(noise, out=noise)
        changed = np.clip(noise, 0, 255, out=noise).astype(np.uint8)
        return replace(sample, image=Image.fromarray(changed))


@TRANSFORMS.register_module()
class RandomJpeg:
    """Compresses a sample as JPEG, for the blocks that strong compression leaves.

    Args:
        quality: lowest and highest quality of Pillow's encoder, from 1 to 95.
        probability: of compressing, in [0, 1].
    """

    def __init__(self, quality: tuple[int, int] = (30, 90), probability: float = 0.5):
        low, high = check_span("quality", quality, 1, 95)
        self.quality = (int(low), int(high))
        self.probability = check_share("probability", probability)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample, compressed by chance."""
        if not happens(self.probability, rng):
            return sample
        file = io.BytesIO()
        sample.image.save(
            file, "JPEG", quality=int(rng.integers(self.quality[0], self.quality[1] + 1))
        )
        image = Image.open(file)
        image.load()
        return replace(sample, image=image.convert("RGB"))


@TRANSFORMS.register_module()
class RandomGrayscale:
    """Takes the colour from a sample.

    A sample with a phrase that names a colour (in English, or one of 红黄绿蓝紫橙) stays as it is,
    since its objects could not be told from others.

    Args:
        probability: of taking it, in [0, 1].
    """

    def __init__(self, probability: float = 0.1):
        self.probability = check_share("probability", probability)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return the sample, in grey by chance."""
        if not happens(self.probability, rng):
            return sample
        if any(_COLORS.search(phrase) for phrase in sample.annotation.phrases):
            return sample
        return replace(sample, image=sample.image.convert("L").convert("RGB"))
