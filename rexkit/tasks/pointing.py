"""Pointing task: one point for each instance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rexkit.registry import TASK_FNS
from rexkit.structures import Instance
from rexkit.tasks.phrase import PhraseTask


@TASK_FNS.register_module()
class PointingTask(PhraseTask):
    """Asks for a point for each instance of each phrase.

    If the ground truth has only a box, its centre is the point. The first template is the public
    one of the Rex-Omni weights. Arguments: see `PhraseTask`.
    """

    name = "pointing"
    results_dir = "point_eval"
    geometry = "point"
    metrics = ("PointF1", "PointAccuracy", "CountingError", "Rejection")
    templates = (
        "Point to {phrases}.",
        "Point to every {phrases} in this image.",
        "Show me where {phrases} is.",
    )

    def answerable(self, instance: Instance) -> Instance | None:
        """Return the instance with its point or else the centre of its box, or None."""
        if instance.point is not None:
            return instance
        if instance.bbox is None:
            return None
        x0, y0, x1, y1 = instance.bbox
        return replace(instance, point=np.array([(x0 + x1) / 2, (y0 + y1) / 2]))
