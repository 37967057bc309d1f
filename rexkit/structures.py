"""The data structures: instances, annotations, samples, examples and predictions.

They are plain dataclasses over numpy. Coordinates are absolute pixels of the original image,
``bbox`` is xyxy and ``image_size`` is (width, height), everywhere.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rexkit.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "Annotation",
    "Array",
    "Example",
    "ImageSize",
    "Instance",
    "Prediction",
    "Problem",
    "Sample",
]

ImageSize = tuple[int, int]
Array = NDArray[np.float64]

_FLOAT64, _ndarray = np.dtype(np.float64), np.ndarray


@dataclass(slots=True, eq=False)
class Instance:
    """One object in an image, annotated or predicted.

    Lists of numbers are converted to arrays when an instance is built.

    Attributes:
        phrase: its category, the expression that refers to it, or its transcription.
        bbox: (4,) float64, x0 y0 x1 y1 in pixels.
        point: (2,) float64, x y in pixels.
        polygon: (N, 2) float64 in pixels, N >= 3.
        keypoints: name -> (2,) float64, or None for a keypoint that is not visible.
        mask: COCO RLE, ``{"size": [height, width], "counts": ...}``.
        text: its transcription, where the phrase is a category such as "word".
        name: its name in a keypoint response, such as "person1".
        score: confidence in [0, 1].
        ignore: neither trained on nor scored (COCO crowd, unreadable text).
        extra: other fields of the dataset, under the dataset's names.

    Raises:
        ValueError: a field does not have its type or shape; the message names the field.

    >>> Instance("cup", bbox=[1, 2, 3, 4]).bbox
    array([1., 2., 3., 4.])
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

    def __post_init__(self) -> None:
        # Arrays of the right type and shape pass at once: thousands are built for every batch.
        bbox = self.bbox
        if bbox is not None and (
            type(bbox) is not _ndarray or bbox.dtype is not _FLOAT64 or bbox.shape != (4,)
        ):
            self.bbox = _coordinates("bbox", bbox, (4,))
        if self.point is not None:
            self.point = _coordinates("point", self.point, (2,))
        if self.polygon is not None:
            self.polygon = _coordinates("polygon", self.polygon, (None, 2))
        if self.keypoints is not None:
            self.keypoints = _keypoints(self.keypoints)
        if self.mask is not None:
            _check_mask(self.mask)
        if self.score is not None:
            self.score = _confidence(self.score)
        if not isinstance(self.phrase, str):
            raise ValueError(f"phrase: expected a string, got {self.phrase!r}")

    @property
    def geometries(self) -> list[dict[str, Any]]:
        """Its geometries as public records have them, with a text that differs from the phrase.

        A mask, which those do not have, is in the first of them as "mask"; alone, it is of the type
        "mask".

        >>> Instance("cup", bbox=np.array([1.0, 2.0, 3.0, 4.0])).geometries
        [{'type': 'box', 'coords': [1.0, 2.0, 3.0, 4.0]}]
        """
        found = self._keypoint_geometries if self.keypoints is not None else self._plain_geometries
        if self.mask is None:
            return found
        if not found:
            return [{"type": "mask", "coords": dict(self.mask)}]
        return [{**found[0], "mask": dict(self.mask)}, *found[1:]]

    @property
    def _keypoint_geometries(self) -> list[dict[str, Any]]:
        visible = {
            name: "unvisible" if xy is None else xy.tolist()
            for name, xy in (self.keypoints or {}).items()
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

    @property
    def _plain_geometries(self) -> list[dict[str, Any]]:
        named = (("box", self.bbox), ("point", self.point), ("polygon", self.polygon))
        text = {} if self.text in (None, self.phrase) else {"text": self.text}
        return [
            {"type": kind, "coords": xy.tolist(), **text} for kind, xy in named if xy is not None
        ]


@dataclass(eq=False)
class Annotation:
    """The instances of an image, and the phrases that are known not to be in it.

    Attributes:
        image_size: (width, height) in pixels.
        instances: in the order of the source.
        absent: negative phrases, known not to be in the image; the response to them is ``None``.
        extra: other fields of the dataset's row, under the dataset's names. Tests ask for
            ``extra["categories"]`` in that order.

    Raises:
        ValueError: a field does not have its type; the message names the field.

    >>> target = Annotation((640, 480), [Instance("cup", bbox=[0, 0, 10, 10])], ["dog"])
    >>> target.phrases, target.boxes("cup").shape, target.boxes("dog").shape
    (['cup', 'dog'], (1, 4), (0, 4))
    """

    image_size: ImageSize
    instances: Sequence[Instance] = ()
    absent: Sequence[str] = ()
    extra: dict[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        self.image_size = _image_size(self.image_size)
        # Other sequences are lazy: a parsed response builds its instances at first use.
        if isinstance(self.instances, list | tuple):
            for instance in self.instances:
                if not isinstance(instance, Instance):
                    raise ValueError(f"instances: expected Instance objects, got {instance!r}")
        if isinstance(self.absent, str):
            raise ValueError(f"absent: expected a list of phrases, got {self.absent!r}")

    @property
    def phrases(self) -> list[str]:
        """Every phrase once: those with instances in their order, then the absent ones."""
        return list(dict.fromkeys([*(i.phrase for i in self.instances), *self.absent]))

    def of(self, phrase: str | None) -> list[Instance]:
        """Return the instances of one phrase, or all with None."""
        return [i for i in self.instances if phrase is None or i.phrase == phrase]

    def boxes(self, phrase: str | None = None) -> Array:
        """Return the boxes of one phrase, or all with None: (N, 4) xyxy pixels."""
        return _stack([i.bbox for i in self.of(phrase)], 4)

    def points(self, phrase: str | None = None) -> Array:
        """Return the points of one phrase, or all with None: (N, 2) pixels."""
        return _stack([i.point for i in self.of(phrase)], 2)

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Return ``{phrase: [{"type", "coords"}, ...]}``; an absent phrase has an empty list."""
        out: dict[str, list[dict[str, Any]]] = {phrase: [] for phrase in self.phrases}
        for instance in self.instances:
            out[instance.phrase].extend(instance.geometries)
        return out


def _stack(rows: list[Array | None], width: int) -> Array:
    found = [row for row in rows if row is not None]
    return np.asarray(found, dtype=np.float64).reshape(-1, width)


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of a generated text that does not follow the grammar.

    Attributes:
        kind: a fixed name, such as "odd_coordinates"; `rexkit.grammar.PROBLEM_KINDS` lists them.
        offset: where it starts in the text, in characters.
        detail: one sentence of explanation.
    """

    kind: str
    offset: int
    detail: str


@dataclass(eq=False)
class Prediction(Annotation):
    """What a parser read from a generated text, and what was wrong with the rest of it.

    Attributes:
        problems: in the order of the text; empty for a text that follows the grammar.
        text: as the model generated it.
        order: phrases in the order of the text, where `Annotation` would order them differently.
    """

    problems: Sequence[Problem] = ()
    text: str = ""
    order: Sequence[str] = ()

    @property
    def phrases(self) -> list[str]:
        """Every phrase once, in the order of the text."""
        return list(dict.fromkeys([*self.order, *super().phrases]))


@dataclass(slots=True, eq=False)
class Sample:
    """One image with its annotation, as a dataset returns it.

    Attributes:
        image: RGB; None where `rexkit.datasets.ChatDataset` has a question without an image, which
            only supervised fine-tuning takes (`Example.text_only`).
        annotation: the ground truth, in pixels of ``image``.
        source: where it comes from, for messages: "train.annotations.tsv:17".
        image_path: the image's file, if it has one of its own.
    """

    image: Image
    annotation: Annotation
    source: str
    image_path: str | None = None


@dataclass(slots=True)
class Question:
    """What a model is asked about one image.

    Attributes:
        prompt: the wording, without chat markup or image.
        phrases: what is asked for, in the order of the prompt.
        task: name of the task that asks, such as "detection".
        keypoints: names of the keypoints that are asked for; empty for those of the task.
    """

    prompt: str
    phrases: list[str]
    task: str
    keypoints: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Example:
    """One question about one image with its response, as a task makes it of a sample.

    Attributes:
        sample: the image with all of its ground truth.
        question: what is asked about it.
        response: the response in the answer grammar, which training teaches.
        target: the part of the ground truth that is asked for.
    """

    sample: Sample
    question: Question
    response: str
    target: Annotation

    @property
    def text_only(self) -> bool:
        """Whether the question is about no image."""
        return self.sample.image is None

    @property
    def image(self) -> Image:
        """The image, RGB.

        Raises:
            DataError: the example has none.
        """
        if self.text_only:
            raise DataError(
                "the row has no image; only supervised fine-tuning (SFTTrainer) takes text alone, "
                "so give it an image, or train on it with SFTTrainer",
                self.source,
            )
        return self.sample.image

    @property
    def prompt(self) -> str:
        """The wording of the question."""
        return self.question.prompt

    @property
    def phrases(self) -> list[str]:
        """What is asked for, in the order of the prompt."""
        return self.question.phrases

    @property
    def task(self) -> str:
        """The name of the task, such as "detection"."""
        return self.question.task

    @property
    def source(self) -> str:
        """Where the sample comes from, for messages: "train.annotations.tsv:17"."""
        return self.sample.source

    @property
    def image_path(self) -> str | None:
        """The file of the image, if it has one of its own."""
        return self.sample.image_path


def _coordinates(name: str, values: Any, shape: tuple[int | None, ...]) -> Array:
    """Coordinates as a float64 array; a shape of (None, 2) is three rows or more."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected numbers, got {values!r}") from None
    rows, *rest = shape
    if array.shape != shape and not (
        rows is None and array.shape[1:] == tuple(rest) and len(array) >= 3
    ):
        wanted = shape if rows else "(N, 2) with N >= 3"
        raise ValueError(f"{name}: expected the shape {wanted}, got {array.shape}: {values!r}")
    return array


def _keypoints(keypoints: Any) -> dict[str, Array | None]:
    if not isinstance(keypoints, Mapping):
        raise ValueError(f"keypoints: expected a dict from name to x y, got {keypoints!r}")
    return {
        name: None if xy is None else _coordinates(f"keypoints[{name!r}]", xy, (2,))
        for name, xy in keypoints.items()
    }


def _check_mask(mask: Any) -> None:
    if not isinstance(mask, Mapping) or not {"size", "counts"} <= mask.keys():
        raise ValueError(
            f"mask: expected COCO RLE, a dict with 'size' and 'counts', got {type(mask).__name__}; "
            "pycocotools.mask.encode makes it of an array"
        )


def _confidence(score: Any) -> float:
    try:
        value = float(score)
    except (TypeError, ValueError):
        raise ValueError(f"score: expected a number, got {score!r}") from None
    if not 0 <= value <= 1:
        raise ValueError(f"score: expected a number in [0, 1], got {score!r}")
    return value


def _image_size(size: Any) -> ImageSize:
    if type(size) is tuple and len(size) == 2:
        width, height = size
        if type(width) is int and type(height) is int and width > 0 and height > 0:
            return size
    try:
        width, height = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise ValueError(
            f"image_size: expected (width, height) in whole pixels, got {size!r}"
        ) from None
    if width <= 0 or height <= 0:
        raise ValueError(f"image_size: expected positive sides, got {size!r}")
    return width, height
