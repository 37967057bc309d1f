"""The default visualizer: annotations and predictions drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rexkit.registry import VISUALIZERS
from rexkit.structures import Annotation, Instance, Prediction
from rexkit.visualizers.canvas import Shape
from rexkit.visualizers.colors import Color, Palette, parse_color, phrase_color, text_color
from rexkit.visualizers.labels import drawable, one_line, place, shorten, wrap

PANEL = (480, 1024)
"""Minimum and maximum of the longer side of an image in `PillowVisualizer.side_by_side`."""

_IGNORED = (150, 150, 150)

# Text around images.
_PAPER, _INK, _GREY = (250, 250, 250), (30, 30, 30), (105, 105, 105)
_TEXT_SIZE, _TEXT_LINES, _TEXT_WIDTH, _GAP = 15, 6, 240, 12


@VISUALIZERS.register_module()
class PillowVisualizer:
    """Draw boxes, points, polygons, keypoints and masks, each phrase in its own colour.

    A transcription replaces the phrase, also for the colour: a text has the same colour in ground
    truth and prediction, whatever its phrase. Ignored instances are grey. The references of a
    visual prompt (``extra["reference"]``) have white dashes along their box and are labelled.

    Args:
        palette: colours by phrase, or a list to choose from; if left out, and for phrases that are
            not in it, the colour is a hash of the phrase or transcription.
        show_labels: whether instances are labelled with their phrase or transcription, and score.
        show_absent: whether `draw` lists the absent phrases below the image.
        line_width: in pixels; if left out, by the size of the image.
        font_size: in pixels; if left out, by the size of the image, at least 12.
        font: a font file, for scripts that Pillow's default font does not have.

    Raises:
        ValueError: a colour of the palette cannot be parsed.
    """

    def __init__(
        self,
        palette: Palette | None = None,
        show_labels: bool = True,
        show_absent: bool = False,
        line_width: int | None = None,
        font_size: int | None = None,
        font: str | None = None,
    ):
        for color in palette.values() if isinstance(palette, Mapping) else palette or ():
            parse_color(color)
        self.palette = palette
        self.show_labels = show_labels
        self.show_absent = show_absent
        self.line_width = line_width
        self.font_size = font_size
        self.font = font

    def draw(self, image: Image.Image, annotation: Annotation) -> Image.Image:
        """Draw an annotation or prediction on a copy of an image.

        Args:
            image: RGB. It may be smaller or larger than ``annotation.image_size``: the annotation
                is scaled to it.
            annotation: what to draw. Coordinates that are not finite are left out, those outside
                the image are cut off.

        Returns:
            An RGB image of the same size; with ``show_absent`` and absent phrases, one with a
            strip below, at least 240 wide.
        """
        canvas = self._drawn(image, annotation, annotation)
        if self.show_absent and annotation.absent:
            absent = f"not in the image: {', '.join(annotation.absent)}"
            strip = self._text(absent, canvas.width, _INK)
            canvas = _stack([canvas, strip], gap=0)
        return canvas

    def side_by_side(
        self,
        image: Image.Image,
        target: Annotation,
        prediction: Prediction,
        prompt: str = "",
        text: str = "",
    ) -> Image.Image:
        """Draw ground truth and prediction beside each other, or stacked if the image is wide.

        Small images are enlarged and large ones reduced (`PANEL`), so that labels are readable.
        The references of a visual prompt are dashed in both.

        Args:
            image: RGB; it is not changed.
            target: the ground truth.
            prediction: the prediction.
            prompt: the question, written above.
            text: the completion, written below; a long one is shortened.

        Returns:
            An RGB image.
        """
        longer = max(image.size)
        scale = min(max(longer, PANEL[0]), PANEL[1]) / longer
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        panel = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        heads = [
            self._head("ground truth", "not in the image", target, size[0]),
            self._head("prediction", "rejected", prediction, size[0]),
        ]
        # Both images start at the same height, whatever the text above them.
        heads = [_padded(h, bottom=max(x.height for x in heads) - h.height) for h in heads]
        drawn = [self._drawn(panel, side, target) for side in (target, prediction)]
        panels = [_stack([head, panel], gap=0) for head, panel in zip(heads, drawn, strict=True)]
        both = _stack(panels, gap=_GAP, across=size[0] <= 2 * size[1])
        above = [self._text(prompt, both.width, _INK)] if prompt else []
        below = [self._text(text, both.width, _GREY)] if text else []
        page = _stack([*above, both, *below], gap=_GAP // 2)
        return _padded(page, _GAP, _GAP, _GAP, _GAP)

    def _drawn(
        self, image: Image.Image, annotation: Annotation, prompted: Annotation
    ) -> Image.Image:
        """Draw an annotation, and dashes along the references of the visual prompt."""
        canvas = image.copy() if image.mode == "RGB" else image.convert("RGB")
        width = self.line_width or max(2, round(math.hypot(*canvas.size) / 400))
        shapes, references = (
            [Shape.of(i, side.image_size, canvas.size, self._color(i)) for i in instances]
            for side, instances in (
                (annotation, annotation.instances),
                (prompted, [i for i in prompted.instances if i.extra.get("reference")]),
            )
        )
        for shape in shapes:
            shape.fill(canvas)
        for shape in shapes:
            shape.outline(canvas, width)
        for shape in references:
            shape.mark(canvas, width)
        if self.show_labels:
            self._write_labels(canvas, shapes, 3 * width)
        return canvas

    def _color(self, instance: Instance) -> Color:
        if instance.ignore:
            return _IGNORED
        named = isinstance(self.palette, Mapping) and instance.phrase in self.palette
        name = instance.phrase if named or not instance.text else instance.text
        return phrase_color(name, self.palette)

    def _write_labels(self, canvas: Image.Image, shapes: Sequence[Shape], clearance: int) -> None:
        size = self.font_size or max(12, round(math.hypot(*canvas.size) / 70))
        font = load_font(size, self.font)
        ascent, descent = font.getmetrics()
        pad, height = max(2, size // 5), ascent + descent + 2
        widest = min(canvas.width, max(canvas.width // 2, 12 * size))
        words, boxes, colors = [], [], []
        for shape in shapes:
            extent = shape.extent
            line = shorten(drawable(_label(shape.instance), font), font, widest - 2 * pad)
            if extent is None or not line or height > canvas.height:
                continue
            # A point has no extent of its own; its label keeps clear of the dot.
            around = clearance if shape.bbox is None and shape.polygon is None else 0
            words.append(line)
            boxes.append(extent + np.array([-around, -around, around, around]))
            colors.append(shape.color)
        sizes = [(math.ceil(font.getlength(line)) + 2 * pad, height) for line in words]
        places = place(np.reshape(boxes, (-1, 4)), sizes, canvas.size)
        drawing = ImageDraw.Draw(canvas)
        for (x0, y0, x1, y1), line, color in zip(places.tolist(), words, colors, strict=True):
            drawing.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), pad, color)
            drawing.text((x0 + pad, y0 + 1), line, text_color(color), font)

    def _head(self, title: str, absent: str, annotation: Annotation, width: int) -> Image.Image:
        """Draw the text above an image: the number of instances, and the absent phrases."""
        problems = len(annotation.problems) if isinstance(annotation, Prediction) else 0
        faults = f", {problems} problem{'s' * (problems > 1)} in the text" if problems else ""
        lines = [self._text(f"{title}: {len(annotation.instances)}{faults}", width, _INK)]
        if annotation.absent:
            lines.append(self._text(f"{absent}: {', '.join(annotation.absent)}", width, _GREY))
        return _stack(lines, gap=0)

    def _text(self, text: str, width: int, color: Color) -> Image.Image:
        """Draw a few lines of text."""
        font = load_font(_TEXT_SIZE, self.font)
        width = max(width, _TEXT_WIDTH)
        lines = wrap(text, font, width - 8, _TEXT_LINES)
        step = sum(font.getmetrics()) + 3
        paper = Image.new("RGB", (width, step * len(lines) + 4), _PAPER)
        drawing = ImageDraw.Draw(paper)
        for number, line in enumerate(lines):
            drawing.text((4, 3 + step * number), line, color, font)
        return paper


@cache
def load_font(size: int, file: str | None = None) -> ImageFont.FreeTypeFont:
    """Load a font file, or the font that comes with Pillow, at a size in pixels.

    Raises:
        OSError: the file is not a font.
    """
    font = ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise OSError("this Pillow was built without FreeType, which drawing labels needs")
    return font


def _label(instance: Instance) -> str:
    words = [instance.phrase if instance.text is None else instance.text]
    if instance.score is not None:
        words.append(f"{instance.score:.2f}")
    if instance.extra.get("reference"):
        words.append("(reference)")
    return one_line(" ".join(words))


def _stack(images: Sequence[Image.Image], gap: int, across: bool = False) -> Image.Image:
    """Stack images below each other, or beside each other."""
    sizes = np.array([image.size for image in images])
    step = np.array([1, 0] if across else [0, 1])
    corners = np.cumsum((sizes + gap) * step, axis=0) - (sizes + gap) * step
    sheet = Image.new("RGB", tuple((corners + sizes).max(axis=0).tolist()), _PAPER)
    for image, (x, y) in zip(images, corners.tolist(), strict=True):
        sheet.paste(image, (x, y))
    return sheet


def _padded(
    image: Image.Image, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0
) -> Image.Image:
    sheet = Image.new("RGB", (image.width + left + right, image.height + top + bottom), _PAPER)
    sheet.paste(image, (left, top))
    return sheet
