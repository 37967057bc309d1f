"""OCR tasks: the location and the transcription of each text in an image."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np

from rexkit.errors import DataError
from rexkit.geometry import box_corners, order_polygon, polygon_bounds
from rexkit.grammar.forms import SpanForm
from rexkit.grammar.writer import Transcription, write
from rexkit.phrases import clean_phrase
from rexkit.registry import TASK_FNS
from rexkit.structures import Annotation, Example, ImageSize, Instance, Question, Sample
from rexkit.tasks.prompt_sets import Diverse
from rexkit.tasks.reading_order import reading_order
from rexkit.tasks.task import QuestionArguments, Task
from rexkit.tasks.writable import with_area, writable

LEVELS = ("word", "text line")
"""The levels of OCR. An image may have instances of both; a task asks for one of them."""


class OCRTask(Task):
    """Asks for all text of an image, in reading order (`rexkit.tasks.reading_order`).

    Every instance of the ground truth must have a ``text``, or be marked ``ignore`` if it is
    illegible; an empty text means the same. Ignored instances are neither in the response nor
    scored. The response for an image without legible text is ``None``. In the target, the phrase
    of every instance is the level.

    The released Rex-Omni weights write the transcription as the phrase. Equal texts then share a
    span, as everywhere in the grammar, at the position of the first one: the response is in
    reading order except for repeated words. With "inline", the texts follow the coordinates, all
    in one span, and keep their order.

    Tests ask for the dataset's ``categories`` where it has them (``Annotation.extra``), and
    otherwise, as training does, for the level.

    Args:
        level: "word" or "text line"; it is part of the prompt. Instances whose phrase is the other
            level are not used; any other phrase, such as "text", counts as this level.
        transcription: "phrase" or "inline", the position of the text in the response; see
            `rexkit.grammar.write`.
        templates: as in `Task`, with the placeholder ``{phrases}``.
    """

    geometry: ClassVar[Literal["bbox", "polygon"]]
    placeholders = ("phrases",)

    def __init__(
        self,
        level: str = "word",
        transcription: Transcription = "phrase",
        templates: Sequence[str] | Diverse | None = None,
    ):
        if level not in LEVELS:
            raise ValueError(f"level: {level!r} is not one of {LEVELS}")
        if transcription not in ("phrase", "inline"):
            raise ValueError(f"transcription: {transcription!r} is neither 'phrase' nor 'inline'")
        super().__init__(templates)
        self.level = level
        self.transcription: Transcription = transcription
        self.parser = {"type": "SpanParser", "transcription": transcription}

    def prompt(self, phrases: Sequence[str], rng: np.random.Generator | None = None) -> str:
        """Return the prompt for some levels, in the first template or in one drawn by ``rng``."""
        return self.template(rng).replace("{phrases}", self.listed(phrases, rng))

    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        """Return the question for the given categories; without any, for the task's level."""
        phrases = [clean_phrase(p) for p in dict.fromkeys(arguments.categories or [self.level])]
        return Question(self.prompt(phrases), phrases, self.name)

    def answer_form(self, question: Question) -> SpanForm:
        """Return the span format with transcriptions."""
        phrases = tuple(question.phrases)
        return SpanForm(phrases, self.geometry, transcription=self.transcription)

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """Return the question for the text of a sample; see `Task.example`."""
        annotation = writable(sample.annotation, sample.source)
        listed = () if training else annotation.extra.get("categories", ())
        if self.geometry == "polygon":  # corners of boxes
            annotation = with_area(annotation)
        target = with_area(self._target(replace(sample, annotation=annotation), listed))
        phrases = list(dict.fromkeys(listed)) or [self.level]
        prompt = self.prompt(phrases, rng if training else None)
        response = self._response(target, sample.source)
        return Example(sample, Question(prompt, phrases, self.name), response, target)

    @abstractmethod
    def answerable(self, instance: Instance) -> Instance | None:
        """Return the instance with the task's geometry and no other, or None without one."""

    def _target(self, sample: Sample, listed: Sequence[str] = ()) -> Annotation:
        annotation = sample.annotation
        used = [
            i
            for i in annotation.instances
            if i.phrase in (self.level, *listed) or i.phrase not in LEVELS
        ]
        if annotation.instances and not used:
            others = sorted({i.phrase for i in annotation.instances})
            raise DataError(
                f"{self.name} asks for {self.level!r}, and the sample has only {others}; "
                "set the task's level to that of the data",
                sample.source,
            )
        found = [self._fit(instance, sample.source) for instance in used]
        boxes = [polygon_bounds(getattr(instance, self.geometry)) for instance in found]
        ordered = [found[i] for i in reading_order(boxes)]
        absent = [] if ordered else [self.level]
        return Annotation(annotation.image_size, ordered, absent, extra=annotation.extra)

    def _fit(self, instance: Instance, source: str) -> Instance:
        """Return the instance of the target for an instance of the ground truth."""
        if instance.text is None and not instance.ignore:
            raise DataError(
                f"{self.name} needs the text of every instance; one of {instance.phrase!r} has "
                "none. Give it a 'text', or 'ignore': true where it cannot be read",
                source,
            )
        ignore = instance.ignore or not (instance.text or "").strip()
        fit = self.answerable(replace(instance, phrase=self.level, ignore=ignore))
        if fit is None:
            raise DataError(
                f"{self.name} needs a polygon or a bbox of every instance; one of "
                f"{instance.phrase!r} ({instance.text!r}) has neither",
                source,
            )
        return fit

    def _response(self, target: Annotation, source: str) -> str:
        legible = [i for i in target.instances if not i.ignore]
        try:
            return write(
                legible,
                target.image_size,
                phrases=[self.level],
                geometry=self.geometry,
                transcription=self.transcription,
            )
        except ValueError as error:
            raise DataError(
                f"{self.name} cannot write this response: {error}. Correct the text, or mark it "
                "'ignore': true",
                source,
            ) from error


@TASK_FNS.register_module()
class OCRBoxTask(OCRTask):
    """Asks for a box and a transcription of each word or text line.

    If an instance has only a polygon, the box around it is used.

    The first template is the public one of the Rex-Omni weights. Arguments: see `OCRTask`.
    """

    name = "ocr_box"
    geometry = "bbox"
    metrics = ({"type": "OCRHmean", "geometry": "bbox"},)
    templates = (
        "Detect all {phrases} and recognize them.",
        "Detect all {phrases} with bounding boxes and recognize them.",
        "Find the box of each {phrases} and recognize them.",
    )

    def answerable(self, instance: Instance) -> Instance | None:
        """Return the instance with a box only, or None without box and polygon."""
        box = instance.bbox
        if box is None and instance.polygon is not None:
            box = polygon_bounds(instance.polygon)
        return None if box is None else replace(instance, bbox=box, polygon=None)


@TASK_FNS.register_module()
class OCRPolygonTask(OCRTask):
    """Asks for a polygon and a transcription of each word or text line.

    If an instance has only a box, its four corners are used.

    Polygons run clockwise from their top left corner (`rexkit.geometry.order_polygon`), in
    whatever order the source has them. The first template is the public one of the Rex-Omni
    weights. Arguments: see `OCRTask`.
    """

    name = "ocr_polygon"
    geometry = "polygon"
    metrics = ({"type": "OCRHmean", "geometry": "polygon"},)
    templates = (
        "Can you detect all {phrases} in this image in polygon format like "
        "[x0, y0, x1, y1, x2, y2 ...] and then recognize them?",
        "Detect all {phrases} in polygon format and recognize them.",
        "Find the polygon of each {phrases} and recognize them.",
    )

    def answerable(self, instance: Instance) -> Instance | None:
        """Return the instance with a polygon only, or None without box and polygon."""
        polygon = instance.polygon
        if polygon is None and instance.bbox is not None:
            polygon = box_corners(instance.bbox)
        if polygon is None:
            return None
        return replace(instance, bbox=None, polygon=order_polygon(polygon))
