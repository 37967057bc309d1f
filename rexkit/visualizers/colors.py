"""Colours of phrases, and the text colour that contrasts with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from PIL import ImageColor

Color = tuple[int, int, int]
Palette = Mapping[str, str | Sequence[int]] | Sequence[str | Sequence[int]]
"""Colours by phrase, or a list to choose from; each a name or #rrggbb, or (red, green, blue)."""

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def phrase_color(phrase: str, palette: Palette | None = None) -> Color:
    """Return the colour of a phrase, which is the same in every image and process.

    Args:
        phrase: the phrase, case-sensitive.
        palette: colours by phrase, other phrases as without a palette; or a list to choose from.

    >>> phrase_color("cup") == phrase_color("cup"), phrase_color("cup", {"cup": "#ff8000"})
    (True, (255, 128, 0))
    """
    digest = blake2b(phrase.encode("utf-8", "replace"), digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    if isinstance(palette, Mapping):
        if phrase in palette:
            return parse_color(palette[phrase])
    elif palette:
        return parse_color(palette[number % len(palette)])
    # Lightness and chroma vary too, so that phrases of similar hue can be told apart.
    hue, rest = number % 360, number // 360
    return oklch((0.62, 0.71, 0.8)[rest % 3], (0.14, 0.2)[rest // 3 % 2], hue)


def parse_color(color: str | Sequence[int]) -> Color:
    """Parse a colour: a name, #rrggbb, or (red, green, blue) from 0 to 255.

    Raises:
        ValueError: it is none of these.

    >>> parse_color("#ff0000"), parse_color([0, 128, 255])
    ((255, 0, 0), (0, 128, 255))
    """
    values = ImageColor.getrgb(color)[:3] if isinstance(color, str) else tuple(color)
    if len(values) != 3 or not all(isinstance(v, int) and 0 <= v <= 255 for v in values):
        raise ValueError(f"a colour is a name, #rrggbb or three numbers up to 255, got {color!r}")
    return values[0], values[1], values[2]


def text_color(background: Color) -> Color:
    """Return black or white, whichever contrasts more with a background.

    The contrast ratio is that of WCAG 2.1: (L1 + 0.05) / (L2 + 0.05), relative luminances.

    >>> text_color((255, 255, 0)), text_color((90, 0, 90))
    ((0, 0, 0), (255, 255, 255))
    """
    luminance = sum(
        weight * _linear(channel / 255)
        for weight, channel in zip((0.2126, 0.7152, 0.0722), background, strict=True)
    )
    return BLACK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else WHITE


def oklch(lightness: float, chroma: float, hue: float) -> Color:
    """Convert a colour of Oklab to sRGB, clipped to its gamut.

    In Oklab, unlike HSV, colours of one lightness look equally light. The matrices are those of
    Björn Ottosson, "A perceptual color space for image processing", 2020.

    Args:
        lightness: 0 to 1.
        chroma: 0 to about 0.3.
        hue: in degrees.

    >>> oklch(1, 0, 0)
    (255, 255, 255)
    """
    a = chroma * math.cos(math.radians(hue))
    b = chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _channel(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _channel(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _channel(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def _linear(share: float) -> float:
    """Convert sRGB to linear light."""
    return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)


def _channel(light: float) -> int:
    """Convert linear light to sRGB, 0 to 255."""
    light = min(max(light, 0.0), 1.0)
    share = 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
    return round(255 * share)
