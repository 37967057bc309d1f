"""Visual prompting task: boxes of all instances similar to those in the reference boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rexkit.errors import DataError
from rexkit.grammar import SpanForm, write, write_references
from rexkit.phrases import normalise_phrase
from rexkit.registry import TASK_FNS
from rexkit.structures import Annotation, Array, Example, ImageSize, Question, Sample
from rexkit.tasks.instance_order import sort_from_left
from rexkit.tasks.prompt_sets import Diverse
from rexkit.tasks.task import QuestionArguments, Task
from rexkit.tasks.writable import with_area, writable

ReferenceStyle = Literal["wrapper", "evaluation"]


@TASK_FNS.register_module()
class VisualPromptTask(Task):
    """Asks for the boxes of all instances of a category, given by reference boxes, not by name.

    Some instances of one category become the reference boxes, and the response contains every
    instance of it, references included. Prompt and response call the category ``object_1``, as the
    public Rex-Omni code does. In the target, ``extra["reference"]`` marks the instances used as
    references and ``extra["category"]`` is their category.

    Training draws the category among those with a usable box, and the references among its
    instances. In tests both depend on the sample's ground truth alone, so that every run has the
    same questions. If a dataset marks references itself (``extra["reference"]``), these are used.
    If it gives the boxes of the prompt by category, as the public evaluation set does
    (``Annotation.extra["visual_prompt"]``), tests show exactly those of the first category.

    Args:
        templates: as in `Task`, with the placeholder ``{references}``. The first is the public one.
        num_references: fewest and most reference boxes. If a category has two instances or more,
            at least one of them is not a reference.
        left_to_right: write the instances from left to right, which is easier to learn for a small
            model; otherwise in the order of the source.
        reference_style: how prompts name the category and its boxes. "wrapper":
            ``{"object_1": ["<0><0><9><9>", …]}``, as the public inference code. "evaluation":
            ``{"cup": "<0><0><9><9>, …"}``, as the public evaluation scripts; prompt and response
            then call the category by its name.

    Raises:
        ValueError: ``num_references`` or ``reference_style`` is none of these.
    """

    name = "visual_prompting"
    results_dir = "visual_prompt_eval"
    metrics = ("VisualPrompting",)
    templates = (
        "Given reference boxes {references} indicating one or more objects, "
        "find all similar objects in the image and output their bounding boxes.",
    )
    placeholders = ("references",)
    accepts = ("visual_prompt_boxes",)
    object_name = "object_1"

    def __init__(
        self,
        templates: Sequence[str] | Diverse | None = None,
        num_references: tuple[int, int] = (1, 3),
        left_to_right: bool = False,
        reference_style: ReferenceStyle = "wrapper",
    ):
        super().__init__(templates)
        if reference_style not in ("wrapper", "evaluation"):
            raise ValueError(
                f"reference_style: must be 'wrapper' or 'evaluation', got {reference_style!r}"
            )
        self.reference_style: ReferenceStyle = reference_style
        fewest, most = num_references
        if not 1 <= fewest <= most:
            raise ValueError(
                f"num_references: (fewest, most) must be ordered, 1 or more, got {num_references}"
            )
        self.num_references = (fewest, most)
        self.left_to_right = left_to_right

    def prompt(
        self,
        boxes: ArrayLike,
        image_size: ImageSize,
        rng: np.random.Generator | None = None,
        name: str | None = None,
    ) -> str:
        """Return the prompt for some reference boxes.

        Args:
            boxes: (N, 4), xyxy pixels.
            image_size: (width, height) of their image.
            rng: draws the template; None takes the first one.
            name: what the prompt calls the category; None is ``object_1``.
        """
        references = write_references(
            {name or self.object_name: boxes},
            image_size,
            joined=self.reference_style == "evaluation",
        )
        return self.template(rng).replace("{references}", references)

    def build_question(self, image_size: ImageSize, arguments: QuestionArguments) -> Question:
        """Return the question for the given reference boxes."""
        if arguments.visual_prompt_boxes is None:
            raise ValueError(f"visual_prompt_boxes: the task {self.name!r} needs at least one")
        boxes = _checked(arguments.visual_prompt_boxes)
        return Question(self.prompt(boxes, image_size), [self.object_name], self.name)

    def answer_form(self, question: Question) -> SpanForm:
        """Return the span format with the phrase ``object_1``."""
        return SpanForm(tuple(question.phrases))

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """Return one question about a sample; see `Task.example`."""
        annotation = with_area(writable(sample.annotation, sample.source))
        usable = replace(sample, annotation=annotation)
        draw = rng if training else np.random.default_rng(_digest(annotation))
        given = {} if training else annotation.extra.get("visual_prompt") or {}
        category = next(iter(given)) if given else self._choose(usable, draw)
        name = category if self.reference_style == "evaluation" else self.object_name
        target = self._target(annotation, category, name, draw)
        shown = given.get(category) or [i.bbox for i in target.instances if i.extra["reference"]]
        seen = [i for i in target.instances if not i.ignore]
        if self.left_to_right:
            seen = sort_from_left(seen, "bbox", annotation.image_size)
        phrases = [name]
        boxes = np.array(shown, dtype=np.float64).reshape(-1, 4)
        prompt = self.prompt(boxes, annotation.image_size, rng if training else None, name)
        response = write(seen, annotation.image_size, phrases=phrases, geometry="bbox")
        return Example(sample, Question(prompt, phrases, self.name), response, target)

    def _choose(self, sample: Sample, draw: np.random.Generator) -> str:
        seen = [i for i in sample.annotation.instances if not i.ignore]
        # A category with an instance that cannot be written has no correct response.
        unwritable = {i.phrase for i in seen if i.bbox is None}
        known = [
            phrase for phrase in dict.fromkeys(i.phrase for i in seen) if phrase not in unwritable
        ]
        if not known:
            raise DataError(
                f"{type(self).__name__} has no reference boxes: no category of the image has a "
                "box for each of its instances",
                sample.source,
            )
        given = {i.phrase for i in seen if i.extra.get("reference")}
        known = [phrase for phrase in known if phrase in given] or known
        return known[int(draw.integers(len(known)))]

    def _target(
        self, annotation: Annotation, category: str, name: str, draw: np.random.Generator
    ) -> Annotation:
        """Return the instances of a category under its name in the prompt, some as references."""
        own = annotation.of(category) or [
            i
            for i in annotation.instances
            if normalise_phrase(i.phrase) == normalise_phrase(category)
        ]
        boxed = [i for i in own if i.bbox is not None]
        usable = [number for number, i in enumerate(boxed) if not i.ignore]
        fewest, most = self.num_references
        count = min(int(draw.integers(fewest, most + 1)), max(1, len(usable) - 1))
        drawn = {usable[k] for k in draw.permutation(len(usable))[:count]}
        shown = {n for n in usable if boxed[n].extra.get("reference")} or drawn
        instances = [
            replace(
                instance,
                phrase=name,
                extra={**instance.extra, "category": category, "reference": number in shown},
            )
            for number, instance in enumerate(boxed)
        ]
        absent = [] if instances else [name]
        return Annotation(annotation.image_size, instances, absent, extra=annotation.extra)


def _digest(annotation: Annotation) -> int:
    """Return a hash of the ground truth, the same in every process."""
    boxed = [i for i in annotation.instances if i.bbox is not None]
    phrases = "\n".join(i.phrase for i in boxed).encode("utf-8", "replace")
    boxes = Annotation(annotation.image_size, boxed).boxes()
    return int.from_bytes(blake2b(phrases + boxes.tobytes(), digest_size=8).digest(), "big")


def _checked(boxes: ArrayLike) -> Array:
    """Return reference boxes as (N, 4), N >= 1, or raise a `ValueError`."""
    xyxy = np.atleast_2d(np.asarray(boxes, dtype=np.float64))
    if xyxy.ndim != 2 or xyxy.shape[1] != 4 or not len(xyxy):
        raise ValueError(
            f"visual_prompt_boxes must be (N, 4) xyxy pixels, got shape {np.shape(boxes)}"
        )
    if not np.isfinite(xyxy).all() or (xyxy[:, 2:] < xyxy[:, :2]).any():
        raise ValueError(
            f"visual_prompt_boxes must be finite, x0 <= x1 and y0 <= y1, got {xyxy.tolist()}"
        )
    return xyxy
