"""The writer of the answer grammar: instances to text.

A span is ``<|object_ref_start|>PHRASE<|object_ref_end|><|box_start|>GEOMETRY<|box_end|>``. Spans
are joined by ", ", items by ",", and the geometry of an absent phrase is ``None``. Keypoints are
JSON in a fence. `rexkit.grammar.read` returns the same bins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rexkit.grammar.bins import to_bins
from rexkit.grammar.tokens import (
    BOX_END,
    BOX_START,
    COORD_TOKENS,
    INVISIBLE,
    ITEM_SEPARATOR,
    NONE,
    OBJECT_REF_END,
    OBJECT_REF_START,
    SPAN_SEPARATOR,
)
from rexkit.phrases import SPECIAL, clean_phrase, clean_text
from rexkit.structures import Array, ImageSize, Instance

Geometry = Literal["bbox", "point", "polygon"]
Transcription = Literal["phrase", "inline"]

_DIGITS = "0123456789"


def write(
    instances: Iterable[Instance],
    image_size: ImageSize,
    *,
    phrases: Sequence[str] | None = None,
    geometry: Geometry | None = None,
    transcription: Transcription | None = None,
) -> str:
    """Write instances as text.

    Args:
        instances: the instances, in pixels. Instances of one phrase share a span.
        image_size: (width, height) of their image in pixels.
        phrases: the phrases to write, in this order; one without an instance gets ``None``. By
            default the phrases of the instances, in their order; one without geometry gets
            ``None``.
        geometry: the geometry to write; by default the first that an instance has of bbox, point,
            polygon. Instances with keypoints are always written as keypoint JSON.
        transcription: where ``Instance.text`` goes: "phrase" in place of the phrase (as the
            released Rex-Omni weights write OCR), "inline" after the coordinates of each item. By
            default texts are not written.

    Returns:
        The response that a model is trained to give.

    Raises:
        ValueError: a phrase or text contains markup of the grammar, an instance is not of one of
            ``phrases``, or a geometry is missing, has the wrong shape, is not finite, or is a box
            with x1 < x0 or y1 < y0.

    >>> cup = Instance("cup", point=np.array([64.0, 48]))
    >>> for span in write([cup], (640, 480), phrases=["cup", "dog"]).split(", "):
    ...     print(span)
    <|object_ref_start|>cup<|object_ref_end|><|box_start|><99><99><|box_end|>
    <|object_ref_start|>dog<|object_ref_end|><|box_start|>None<|box_end|>
    """
    found = list(instances)
    if any(i.keypoints is not None for i in found):
        return write_keypoints(found, image_size)
    groups: dict[str, list[Instance]] = {}
    if phrases is not None:
        requested = [clean_phrase(phrase) for phrase in phrases]
        present = {clean_phrase(i.phrase) for i in found}
        if unexpected := present.difference(requested):
            raise ValueError(
                f"phrase {min(unexpected)!r} is not among the phrases to write: {requested}"
            )
        # With transcriptions in place of phrases, the instances open their own spans.
        groups = {p: [] for p in requested if transcription != "phrase" or p not in present}
    for instance in found:
        label = instance.text if transcription == "phrase" else instance.phrase
        if label is None:
            raise ValueError(f"an instance of {instance.phrase!r} has no text to write")
        groups.setdefault(clean_phrase(label), []).append(instance)
    return SPAN_SEPARATOR.join(
        _span(label, _items(group, image_size, geometry, transcription))
        for label, group in groups.items()
    )


def write_keypoints(instances: Iterable[Instance], image_size: ImageSize) -> str:
    """Write instances with keypoints as JSON in a fence.

    Args:
        instances: the instances, in pixels; those without a name are numbered by phrase.
        image_size: (width, height) of their image in pixels.

    Returns:
        The response that a model is trained to give.

    Raises:
        ValueError: an instance lacks bbox or keypoints, its phrase ends in a digit, its name is
            not its phrase with a number, or two instances have the same name.

    >>> nose = Instance("person", bbox=np.array([0.0, 0, 9, 9]), keypoints={"nose": None})
    >>> print(write_keypoints([nose], (10, 10)))
    ```json
    {"person1": {"bbox": " <0> <0> <899> <899> ", "keypoints": {"nose": "unvisible"}}}
    ```
    """
    records: dict[str, object] = {}
    numbers: dict[str, int] = {}
    for instance in instances:
        if instance.keypoints is None or instance.bbox is None:
            raise ValueError(f"an instance of {instance.phrase!r} needs a bbox and keypoints")
        phrase = clean_phrase(instance.phrase)
        numbers[phrase] = numbers.get(phrase, 0) + 1
        name = instance.name or f"{phrase}{numbers[phrase]}"
        if name.rstrip(_DIGITS).strip() != phrase:
            raise ValueError(f"{name!r} must be the phrase {phrase!r} and a number")
        if name in records:
            raise ValueError(f"two instances have the name {name!r}")
        records[name] = {
            "bbox": _spaced(_shaped(instance, "bbox"), image_size),
            "keypoints": {
                clean_phrase(key): INVISIBLE if xy is None else _spaced(xy, image_size)
                for key, xy in instance.keypoints.items()
            },
        }
    return f"```json\n{json.dumps(records, ensure_ascii=False)}\n```"


def write_references(
    boxes: Mapping[str, ArrayLike], image_size: ImageSize, *, joined: bool = False
) -> str:
    """Write the reference boxes of a visual prompt.

    Args:
        boxes: for each name (N, 4) or (4,) xyxy pixels.
        image_size: (width, height) of their image in pixels.
        joined: whether the boxes of a name are one text, separated by a comma and a space, and
            characters beyond ASCII are escaped, as the public evaluation scripts write them.

    Returns:
        JSON with a list of boxes, or with their text, for each name.

    >>> write_references({"object_1": [[0, 0, 10, 10]]}, (10, 10))
    '{"object_1": ["<0><0><999><999>"]}'
    >>> write_references({"cup": [[0, 0, 10, 10], [0, 0, 5, 5]]}, (10, 10), joined=True)
    '{"cup": "<0><0><999><999>, <0><0><499><499>"}'
    """
    spelled = {
        name: [_spell(box) for box in to_bins(group, image_size).reshape(-1, 4).tolist()]
        for name, group in boxes.items()
    }
    if joined:
        return json.dumps({name: ", ".join(items) for name, items in spelled.items()})
    return json.dumps(spelled, ensure_ascii=False)


def _span(phrase: str, items: list[str]) -> str:
    inside = ITEM_SEPARATOR.join(items) or NONE
    return f"{OBJECT_REF_START}{phrase}{OBJECT_REF_END}{BOX_START}{inside}{BOX_END}"


def _items(
    group: list[Instance],
    image_size: ImageSize,
    geometry: Geometry | None,
    transcription: Transcription | None,
) -> list[str]:
    written = []
    coords = []
    for instance in group:
        kind = geometry or _first_geometry(instance)
        if kind is not None:
            written.append(instance)
            coords.append(_shaped(instance, kind).ravel())
    if not written:
        return []
    tokens = [COORD_TOKENS[b] for b in to_bins(np.concatenate(coords), image_size).tolist()]
    ends = np.cumsum([len(xy) for xy in coords]).tolist()
    items = ["".join(tokens[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
    if transcription == "inline":
        return [item + _legal_text(i.text) for item, i in zip(items, written, strict=True)]
    return items


def _first_geometry(instance: Instance) -> Geometry | None:
    kinds: tuple[Geometry, ...] = ("bbox", "point", "polygon")
    return next((kind for kind in kinds if getattr(instance, kind) is not None), None)


def _shaped(instance: Instance, geometry: Geometry) -> Array:
    """Return the geometry, if it has the shape that it is read back with."""
    coords: Array | None = getattr(instance, geometry)
    if coords is None:
        raise ValueError(f"an instance of {instance.phrase!r} has no {geometry}")
    shape = np.shape(coords)
    fits = {
        "bbox": shape == (4,),
        "point": shape == (2,),
        "polygon": len(shape) == 2 and shape[0] >= 3 and shape[1] == 2,
    }
    if not fits[geometry]:
        raise ValueError(f"{geometry} of {instance.phrase!r} has shape {shape}")
    if geometry == "bbox" and (coords[2] < coords[0] or coords[3] < coords[1]):
        raise ValueError(
            f"bbox of {instance.phrase!r} must be x0 y0 x1 y1, got {np.asarray(coords)}"
        )
    return np.asarray(coords)


def _legal_text(text: str | None) -> str:
    bare = clean_text(text or "")
    if found := SPECIAL.search(bare):
        raise ValueError(
            f"text {bare!r} contains {found.group()!r}, which is markup of the grammar"
        )
    return bare


def _spell(bins: Iterable[int], between: str = "") -> str:
    return between.join([COORD_TOKENS[b] for b in bins])


def _spaced(coords: ArrayLike, image_size: ImageSize) -> str:
    return f" {_spell(to_bins(coords, image_size).tolist(), ' ')} "
