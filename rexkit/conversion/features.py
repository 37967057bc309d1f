"""What an annotation holds, so that what a format has no place for can be counted."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, get_args

from rexkit.instances import HIDDEN_KEYPOINTS, keypoint_visibility
from rexkit.structures import Annotation, Instance

Feature = Literal[
    "boxes",
    "points",
    "polygons",
    "masks",
    "keypoints",
    "hidden keypoints",
    "texts",
    "scores",
    "ignored instances",
    "attributes",
    "absent phrases",
    "image attributes",
]
"""What may get lost; `features_of` says when an annotation has each."""

FEATURES: frozenset[Feature] = frozenset(get_args(Feature))

DERIVED = frozenset({"id", "area", "num_keypoints"})
"""Fields of an instance that follow from others, or number it; their loss is not reported."""

_GEOMETRIES: dict[Feature, str] = {
    "boxes": "bbox",
    "points": "point",
    "polygons": "polygon",
    "masks": "mask",
    "keypoints": "keypoints",
}


def features_of(annotation: Annotation) -> Counter[str]:
    """Return how many there are of each feature in an annotation.

    "attributes" are instances with ``extra`` other than `DERIVED`; "image attributes" is 1 for an
    annotation with ``extra``; "hidden keypoints" have a place where they cannot be seen.

    >>> dict(features_of(Annotation((9, 9), [Instance("cup", point=[1, 2], ignore=True)], ["dog"])))
    {'points': 1, 'ignored instances': 1, 'absent phrases': 1}
    """
    counts: Counter[str] = Counter()
    for instance in annotation.instances:
        for feature, field in _GEOMETRIES.items():
            counts[feature] += getattr(instance, field) is not None
        counts["texts"] += instance.text is not None
        counts["scores"] += instance.score is not None
        counts["ignored instances"] += instance.ignore
        counts["hidden keypoints"] += [*keypoint_visibility(instance).values()].count(1)
        counts["attributes"] += bool(attributes_of(instance))
    counts["absent phrases"] += len(annotation.absent)
    counts["image attributes"] += bool(annotation.extra)
    return +counts


def attributes_of(instance: Instance) -> dict[str, Any]:
    """Return the fields of an instance that neither follow from others nor number it."""
    own = {*DERIVED, HIDDEN_KEYPOINTS}
    return {name: value for name, value in instance.extra.items() if name not in own}


def has_any(instance: Instance, features: frozenset[str]) -> bool:
    """Return whether an instance has a geometry among some features."""
    return any(getattr(instance, f) is not None for g, f in _GEOMETRIES.items() if g in features)
