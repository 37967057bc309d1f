"""Detection, grounding and referring: boxes for phrases."""

from __future__ import annotations

from rexkit.registry import TASK_FNS
from rexkit.tasks.phrase import PhraseTask


@TASK_FNS.register_module()
class GroundingTask(PhraseTask):
    """Asks for the boxes of each phrase: a category, or an expression with any number of boxes.

    The first template is the public one of the Rex-Omni weights. Arguments: see `PhraseTask`.
    """

    name = "detection"
    results_dir = "box_eval"
    geometry = "bbox"
    metrics = ("BoxF1", "CocoAP", "Rejection")
    templates = (
        "Detect {phrases}. Output the bounding box coordinates in [x0, y0, x1, y1] format.",
        "Detect {phrases}.",
        "Find every {phrases} in this image.",
        "Locate {phrases} with bounding boxes.",
        "Where is {phrases}?",
    )
