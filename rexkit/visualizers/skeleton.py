"""Skeletons: the joints and bones of keypoints, with one colour for each side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rexkit.keypoints import Side, schema_of
from rexkit.structures import Array
from rexkit.visualizers.colors import Color, oklch

SIDE_COLORS: dict[Side | None, Color] = {
    "left": oklch(0.78, 0.2, 145),
    "right": oklch(0.74, 0.18, 55),
    None: oklch(0.7, 0.13, 250),
}
"""Green is left, orange is right and blue is neither, as in mmpose."""


@dataclass
class Skeleton:
    """Visible keypoints and the lines between them, in pixels of a canvas.

    Attributes:
        joints: (K, 2).
        joint_colors: the colour of each joint.
        bones: (B, 2, 2), from joint to joint.
        bone_colors: the colour of each bone.
    """

    joints: Array
    joint_colors: list[Color]
    bones: Array
    bone_colors: list[Color]

    @classmethod
    def of(cls, places: Mapping[str, Array], color: Color, sided: bool = True) -> Skeleton:
        """Build the skeleton of the schema that the names belong to; joints alone without one.

        Args:
            places: name -> (2,), the visible keypoints.
            color: used for everything where the schema has no left and right.
            sided: whether left and right have their own colours.
        """
        schema = schema_of(places)
        colors, middle, lines = dict.fromkeys(places, color), color, []
        if schema is not None:
            lines = [line for line in schema.skeleton if line[0] in places and line[1] in places]
            if sided and schema.pairs:
                colors = {name: SIDE_COLORS[schema.side(name)] for name in places}
                middle = SIDE_COLORS[None]
        # A bone from the middle to a side is of that side; one from side to side is of neither.
        bone_colors = []
        for ends in lines:
            of_sides = {colors[end] for end in ends} - {middle}
            bone_colors.append(of_sides.pop() if len(of_sides) == 1 else middle)
        return cls(
            np.array([*places.values()], dtype=np.float64).reshape(-1, 2),
            list(colors.values()),
            np.array([[places[end] for end in line] for line in lines]).reshape(-1, 2, 2),
            bone_colors,
        )

    def line_width(self, widest: float) -> float:
        """Return a line width at which small skeletons stay readable."""
        if len(self.joints) < 2:
            return widest
        extent = float(np.hypot(*np.ptp(self.joints, axis=0)))
        return float(np.clip(extent / 80, 1.0, widest))
