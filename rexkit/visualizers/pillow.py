"""Images of annotations and predictions, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rexkit.registry import VISUALIZERS
from rexkit.structures import Annotation, Instance, Prediction
from rexkit.visualizers.canvas import Shape
from rexkit.visualizers.colors import Color, Palette, phrase_color, text_color
from rexkit.visualizers.labels import one_line, place, shorten, wrap

PANEL = (480, 1024)
"""Least and most pixels of the longer side of an image in `PillowVisualizer.side_by_side`."""

_IGNORED = (150, 150, 150)

# What is written around images.
_PAPER, _INK, _GREY = (250, 250, 250), (30, 30, 30), (105, 105, 105)
_TEXT_SIZE, _TEXT_LINES, _TEXT_WIDTH, _GAP = 15, 6, 240, 12


@VISUALIZERS.register_module()
class PillowVisualizer:
    """Draws boxes, points, polygons, keypoints and masks, each phrase in its own colour.

    A transcription stands in place of the phrase, for the colour too: a text has one colour in
    truth and prediction, whatever the phrase is there. Ignored instances are grey. The references
    of a visual prompt (``extra["reference"]``) have white dashes along their box and are labelled
    as such.

    Args:
        palette: colours by phrase, or a list to choose from; left out, and for phrases that are
            not in it, a colour is fixed by the phrase itself, or by the transcription.
        show_labels: whether phrases are written beside what they name: the transcription where
            there is one, and the score where there is one.
        show_absent: whether `draw` lists the phrases known not to be in the image below it.
        line_width: in pixels; left out, by the size of the image.
        font_size: in pixels; left out, by the size of the image, 12 at least.
        font: a font file, for scripts that Pillow's own font does not have.
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
        self.palette = palette
        self.show_labels = show_labels
        self.show_absent = show_absent
        self.line_width = line_width
        self.font_size = font_size
        self.font = font

    def draw(self, image: Image.Image, annotation: Annotation) -> Image.Image:
        """Draw what an annotation or prediction holds.

        Args:
            image: RGB; it is not changed. It may be smaller or larger than
                ``annotation.image_size``: what is drawn is scaled with it.
            annotation: what to draw. What is not finite is left out, what lies outside is cut off.

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
        truth: Annotation,
        prediction: Prediction,
        prompt: str = "",
        text: str = "",
    ) -> Image.Image:
        """Truth and prediction beside each other; one above the other if the image is wide.

        Small images are enlarged and large ones reduced (`PANEL`), so that labels can be read.
        The references of a visual prompt are dashed in both.

        Args:
            image: RGB; it is not changed.
            truth: what is there.
            prediction: what was answered.
            prompt: the question, written above.
            text: the answer as it came, written below; a long one is cut.
        """
        longer = max(image.size)
        scale = min(max(longer, PANEL[0]), PANEL[1]) / longer
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        panel = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        heads = [
            self._head("truth", "not in the image", truth, size[0]),
            self._head("prediction", "answered None", prediction, size[0]),
        ]
        # Both images begin at one height, whatever is written above them.
        heads = [_padded(h, bottom=max(x.height for x in heads) - h.height) for h in heads]
        drawn = [self._drawn(panel, side, truth) for side in (truth, prediction)]
        panels = [_stack([head, panel], gap=0) for head, panel in zip(heads, drawn, strict=True)]
        both = _stack(panels, gap=_GAP, across=size[0] <= 2 * size[1])
        above = [self._text(prompt, both.width, _INK)] if prompt else []
        below = [self._text(text, both.width, _GREY)] if text else []
        page = _stack([*above, both, *below], gap=_GAP // 2)
        return _padded(page, _GAP, _GAP, _GAP, _GAP)

    def _drawn(
        self, image: Image.Image, annotation: Annotation, prompted: Annotation
    ) -> Image.Image:
        """An annotation in an image, and dashes along the references of what was prompted."""
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
            line = shorten(_label(shape.instance), font, widest - 2 * pad)
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
        """What is written above an image: how much it shows, and what is not there."""
        problems = len(annotation.problems) if isinstance(annotation, Prediction) else 0
        trouble = f", {problems} problem{'s' * (problems > 1)} in the answer" if problems else ""
        lines = [self._text(f"{title}: {len(annotation.instances)}{trouble}", width, _INK)]
        if annotation.absent:
            lines.append(self._text(f"{absent}: {', '.join(annotation.absent)}", width, _GREY))
        return _stack(lines, gap=0)

    def _text(self, text: str, width: int, color: Color) -> Image.Image:
        """A few lines of text on paper."""
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
    """A font file, or the font that comes with Pillow, at a size in pixels.

    Raises:
        OSError: the file is no font.
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
    """Images below each other, or beside each other, on paper."""
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
