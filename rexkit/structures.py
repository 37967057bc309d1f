"""The nouns of rexkit: what an image holds, what is asked of it and what was answered.

Everything here is a plain dataclass over numpy. Coordinates are absolute pixels of the original
image, ``bbox`` is xyxy and ``image_size`` is (width, height), everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

ImageSize = tuple[int, int]
Array = NDArray[np.float64]


@dataclass(slots=True, eq=False)
class Instance:
    """One thing in an image, or one thing an answer claims to be there.

    Attributes:
        phrase: the words it goes by: a category, a referring expression, a transcription.
        bbox: (4,) float, x0 y0 x1 y1.
        point: (2,) float, x y.
        polygon: (N, 2) float, N >= 3.
        keypoints: name -> (2,) float, or None for a keypoint that is not visible.
        mask: COCO RLE, ``{"size": [height, width], "counts": ...}``.
        text: transcription, where the phrase is only a category such as "word".
        name: the instance's own name in a keypoint answer, such as "person1".
        score: confidence in [0, 1].
        ignore: neither trained on nor scored (COCO crowd, unreadable text).
        extra: what a dataset knows besides, by its own names.
    """

    phrase: str
    bbox: Array | None = None
    point: Array | None = None
    polygon: Array | None = None
    keypoints: dict[str, Array | None] | None = None
    mask: dict[str, Any] | None = None
    text: str | None = None
    name: str | None = None
    score: float | None = None
    ignore: bool = False
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def geometries(self) -> list[dict[str, Any]]:
        """What it is made of, as the public records spell it, with a text that is not the phrase.

        >>> Instance("cup", bbox=np.array([1.0, 2.0, 3.0, 4.0])).geometries
        [{'type': 'box', 'coords': [1.0, 2.0, 3.0, 4.0]}]
        """
        if self.keypoints is not None:
            visible = {
                name: "unvisible" if xy is None else xy.tolist()
                for name, xy in self.keypoints.items()
            }
            box = None if self.bbox is None else self.bbox.tolist()
            return [
                {
                    "type": "keypoint",
                    "coords": box,
                    "bbox": box,
                    "keypoints": visible,
                    "instance_id": self.name,
                }
            ]
        named = (("box", self.bbox), ("point", self.point), ("polygon", self.polygon))
        text = {} if self.text in (None, self.phrase) else {"text": self.text}
        return [
            {"type": kind, "coords": xy.tolist(), **text} for kind, xy in named if xy is not None
        ]


@dataclass(eq=False)
class Annotation:
    """What is in an image, and what is known not to be.

    Attributes:
        image_size: (width, height) in pixels.
        instances: in the order of the source.
        absent: phrases known not to be in the image; their answer is ``None``.

    >>> truth = Annotation((640, 480), [Instance("cup", bbox=np.array([0.0, 0, 10, 10]))], ["dog"])
    >>> truth.phrases, truth.boxes("cup").shape, truth.boxes("dog").shape
    (['cup', 'dog'], (1, 4), (0, 4))
    """

    image_size: ImageSize
    instances: Sequence[Instance] = ()
    absent: Sequence[str] = ()

    @property
    def phrases(self) -> list[str]:
        """Every phrase once: those with instances in their order, then the absent ones."""
        return list(dict.fromkeys([*(i.phrase for i in self.instances), *self.absent]))

    def of(self, phrase: str | None) -> list[Instance]:
        """The instances of one phrase, or of all."""
        return [i for i in self.instances if phrase is None or i.phrase == phrase]

    def boxes(self, phrase: str | None = None) -> Array:
        """The boxes of one phrase, or of all: (N, 4), xyxy pixels."""
        return _stack([i.bbox for i in self.of(phrase)], 4)

    def points(self, phrase: str | None = None) -> Array:
        """The points of one phrase, or of all: (N, 2), pixels."""
        return _stack([i.point for i in self.of(phrase)], 2)

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """``{phrase: [{"type", "coords"}, ...]}``; an absent phrase has an empty list."""
        out: dict[str, list[dict[str, Any]]] = {phrase: [] for phrase in self.phrases}
        for instance in self.instances:
            out[instance.phrase].extend(instance.geometries)
        return out


def _stack(rows: list[Array | None], width: int) -> Array:
    found = [row for row in rows if row is not None]
    return np.asarray(found, dtype=np.float64).reshape(-1, width)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in an answer that is not as the grammar says.

    Attributes:
        kind: a short fixed name, such as "odd_coordinates"; `rexkit.grammar.PROBLEM_KINDS` lists
            them.
        offset: where in the text it starts, in characters.
        detail: one sentence for a person.
    """

    kind: str
    offset: int
    detail: str


@dataclass(eq=False)
class Prediction(Annotation):
    """An annotation read from an answer: what could be read, and what was wrong with the rest.

    Attributes:
        problems: in the order of the text; empty for an answer that follows the grammar.
        text: the answer as it came.
        order: phrases in the order of the answer, where that is not the order of `Annotation`.
    """

    problems: Sequence[Problem] = ()
    text: str = ""
    order: Sequence[str] = ()

    @property
    def phrases(self) -> list[str]:
        """Every phrase once, in the order of the answer."""
        return list(dict.fromkeys([*self.order, *super().phrases]))


@dataclass(slots=True, eq=False)
class Sample:
    """One image with its truth, as a dataset gives it.

    Attributes:
        image: RGB.
        annotation: its truth, in pixels of ``image``.
        source: where it comes from, for messages: "train.annotations.tsv:17".
        image_path: the file of the image, where it has one of its own.
    """

    image: Image
    annotation: Annotation
    source: str
    image_path: str | None = None


@dataclass(slots=True, eq=False)
class Example:
    """One question about one image with its answer, as a task gives it.

    Attributes:
        image: RGB.
        prompt: the question in words, without chat markup or image.
        response: the answer as the grammar spells it; what training learns to write.
        target: the part of the truth that was asked for.
        phrases: what was asked for, in the order of the prompt.
        task: the task's name, such as "detection".
        source: as in `Sample`.
        image_path: as in `Sample`.
    """

    image: Image
    prompt: str
    response: str
    target: Annotation
    phrases: list[str]
    task: str
    source: str
    image_path: str | None = None
