"""Drawing of the records of the public wrapper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rexkit.formats.phrase_geometries import decode_annotation
from rexkit.visualizers import PillowVisualizer

if TYPE_CHECKING:
    from PIL.Image import Image

_DISC = 1.8
"""Radius of a point in line widths of `PillowVisualizer`."""
_SMALLEST_DISC = 8


def RexOmniVisualize(  # noqa: N802 - the public name
    image: Image,
    predictions: Mapping[str, Sequence[Mapping[str, Any]]],
    font_size: int = 15,
    draw_width: int = 6,
    show_labels: bool = True,
    custom_colors: Mapping[str, Any] | None = None,
    font_path: str | None = None,
) -> Image:
    """Draw the predictions of `rexkit.compat.RexOmniWrapper` on a copy of an image.

    The arguments are those of the public function; the image is drawn by `PillowVisualizer`, so
    places of labels, colours and skeletons are its own. A category has the same colour in every
    process, which it does not have in the public function. ``font_path`` is used.

    Args:
        image: the image that was predicted for.
        predictions: ``extracted_predictions`` of its record.
        font_size: of labels, in pixels.
        draw_width: of lines, in pixels; a point is a disc of this radius, at least 8.
        show_labels: whether instances are labelled.
        custom_colors: colours by category, (red, green, blue) or a name or #rrggbb.
        font_path: a font file, for scripts that Pillow's default font does not have.

    Returns:
        An RGB image of the same size.

    Raises:
        DataError: a prediction is of no known type.
        ValueError: a colour cannot be parsed.

    >>> from PIL import Image
    >>> found = {"cup": [{"type": "box", "coords": [8, 8, 40, 40]}], "dog": []}
    >>> drawn = RexOmniVisualize(Image.new("RGB", (64, 64)), found, custom_colors={"cup": "red"})
    >>> drawn.getpixel((8, 20))
    (255, 0, 0)
    """
    given = {
        category: [_with_type(entry) for entry in entries]
        for category, entries in predictions.items()
    }
    annotation = decode_annotation(given, image.size)
    instances = annotation.instances
    width = draw_width
    if instances and all(i.point is not None and i.bbox is None for i in instances):
        width = max(1, round(max(_SMALLEST_DISC, draw_width) / _DISC))
    visualizer = PillowVisualizer(
        palette={name: _color(color) for name, color in (custom_colors or {}).items()},
        show_labels=show_labels,
        line_width=width,
        font_size=font_size,
        font=font_path,
    )
    return visualizer.draw(image, annotation)


def _with_type(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry with its type, a box where it has none, as the public function takes it."""
    return {"type": "box", **entry} if isinstance(entry, Mapping) and "coords" in entry else entry


def _color(color: Any) -> str | tuple[int, ...]:
    return color if isinstance(color, str) else tuple(int(channel) for channel in color)
