"""Reward of keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rexkit.geometry import match
from rexkit.instances import area, extent
from rexkit.keypoints import KeypointSchema, find_schema, oks, schema_of
from rexkit.registry import REWARDS
from rexkit.rewards.alignment import compare
from rexkit.structures import Annotation, Array, Instance, Prediction

_LEAST = 1e-9  # any likeness is better than none


@REWARDS.register_module("keypoint_oks")
def keypoint_oks(
    prediction: Prediction,
    target: Annotation,
    schema: str | Mapping[str, Any] | KeypointSchema | None = None,
) -> float:
    """Object keypoint similarity of things matched one to one: 2 · Σ OKS / (answers + truths).

    Args:
        prediction: the answer.
        target: the truth; a thing without a visible keypoint is not looked for. The area of a
            thing is what its data set gives as ``extra["area"]``, else that of its box.
        schema: whose sigmas; left out, the schema that knows most of the true keypoints.

    Raises:
        ValueError: no schema knows the true keypoints; give one.
    """
    truths = [i for i in target.instances if _has_keypoints(i)]
    names = [name for i in truths for name in i.keypoints or ()]
    found_schema = schema_of(names) if schema is None else find_schema(schema)
    if truths and found_schema is None:
        raise ValueError(f"no schema knows {names[0]!r}; give keypoint_oks a schema=…")

    def similarity(answers: Sequence[Instance], wanted: Sequence[Instance]) -> Array:
        if found_schema is None or not answers or not wanted:
            return np.zeros((len(answers), len(wanted)))
        return oks(
            _table(answers, found_schema),
            _table(wanted, found_schema),
            np.asarray(found_schema.sigmas),
            np.array([area(i, extent(i)) for i in wanted]),
        )

    found = compare(prediction, target, similarity, lambda i: bool(i.keypoints), _has_keypoints)
    rows, columns = match(found.likeness, _LEAST)
    return found.f1(float(found.likeness[rows, columns].sum()))


def _has_keypoints(instance: Instance) -> bool:
    return any(xy is not None for xy in (instance.keypoints or {}).values())


def _table(instances: Sequence[Instance], schema: KeypointSchema) -> Array:
    """(N, K, 2) in the schema's order, NaN for what is not visible."""
    points = [schema.array(i.keypoints or {}) for i in instances]
    return np.array(points, dtype=np.float64).reshape(-1, len(schema.keypoints), 2)
