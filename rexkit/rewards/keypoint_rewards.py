"""Reward of keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rexkit.geometry import match
from rexkit.instances import area, extent
from rexkit.keypoints import KeypointSchema, find_schema, oks, schema_of
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import align
from rexkit.structures import Annotation, Array, Instance, Prediction

_ANY_SIMILARITY = 1e-9  # the threshold of a match: any similarity is better than none


@REWARDS.register_module("keypoint_oks")
def keypoint_oks(
    prediction: Prediction,
    target: Annotation,
    schema: str | Mapping[str, Any] | KeypointSchema | None = None,
    strict_phrases: bool = False,
) -> float:
    """Return the object keypoint similarity of instances: 2 · Σ OKS / (predictions + targets).

    Instances are matched one to one.

    Args:
        prediction: the prediction.
        target: the ground truth; an instance without a visible keypoint need not be found. The
            area of an instance is ``extra["area"]`` where the dataset gives it, else that of its
            box.
        schema: the schema whose sigmas are used; by default the one with most of the target
            keypoints.
        strict_phrases: compare phrases character by character, see `rexkit.rewards.alignment`.

    Returns:
        The reward in [0, 1].

    Raises:
        ValueError: no schema has the target keypoints, and none is given.
    """
    targets = [i for i in target.instances if _has_keypoints(i)]
    names = [name for i in targets for name in i.keypoints or ()]
    used_schema = schema_of(names) if schema is None else find_schema(schema)
    if targets and used_schema is None:
        raise ValueError(f"no schema has the keypoint {names[0]!r}; set schema=… of keypoint_oks")

    def similarity(predictions: Sequence[Instance], targets: Sequence[Instance]) -> Array:
        if used_schema is None or not predictions or not targets:
            return np.zeros((len(predictions), len(targets)))
        return oks(
            _keypoints(predictions, used_schema),
            _keypoints(targets, used_schema),
            np.asarray(used_schema.sigmas),
            np.array([area(i, extent(i)) for i in targets]),
        )

    pair = align(
        prediction,
        target,
        similarity,
        lambda i: bool(i.keypoints),
        _has_keypoints,
        strict_phrases,
    )
    rows, columns = match(pair.similarity, _ANY_SIMILARITY)
    return pair.f1(float(pair.similarity[rows, columns].sum()))


def _has_keypoints(instance: Instance) -> bool:
    return any(xy is not None for xy in (instance.keypoints or {}).values())


def _keypoints(instances: Sequence[Instance], schema: KeypointSchema) -> Array:
    """Return (N, K, 2) in the order of the schema, NaN for keypoints that are not visible."""
    points = [schema.array(i.keypoints or {}) for i in instances]
    return np.array(points, dtype=np.float64).reshape(-1, len(schema.keypoints), 2)
