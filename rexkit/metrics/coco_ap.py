"""COCO's average precision of boxes, by faster-coco-eval."""

from __future__ import annotations

from rexkit.metrics.coco_evaluation import mean_values, precision_tables
from rexkit.metrics.ranked_box_metric import RankedBoxMetric, fill_scores
from rexkit.registry import METRICS

METRIC_NAMES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
"""The names of COCO's twelve values, in its order."""

MAX_PREDICTIONS = [1, 10, 100]
"""The maximum number of predictions per phrase and image."""


@METRICS.register_module()
class CocoAP(RankedBoxMetric):
    """Compute COCO's twelve values of boxes; each phrase is a category.

    AP ranks predictions by score. If every predicted box has a score, the names end in
    ``[score=model]``. Otherwise all scores are 1, the names end in ``[score=constant]``, and the
    values are comparable only with others of that kind. Equal scores are ranked by image, then in
    the order of the prediction; images are put in an order that depends only on their content, so
    that the values do not depend on the order of adding.

    As in COCO, a value without any target is -1, at most 100 boxes per phrase and image are ranked,
    and ignored instances are crowds. Small, medium and large (limits 32² and 96² pixels) go by
    ``extra["area"]`` where the dataset gives it, as in COCO's files, else by the box.

    Args:
        strict_phrases: whether phrases are compared character by character, see `Metric`.
    """

    def compute(self) -> dict[str, float]:
        """Return the values by name, over all images added so far."""
        state = self.state()
        source = fill_scores(state["predictions"])
        values = mean_values(
            len(METRIC_NAMES),
            (
                [
                    *(p[:, :, :, 0, 2], p[0, :, :, 0, 2], p[5, :, :, 0, 2]),
                    *(p[:, :, :, size, 2] for size in (1, 2, 3)),
                    *(r[:, :, 0, limit] for limit in (0, 1, 2)),
                    *(r[:, :, size, 2] for size in (1, 2, 3)),
                ]
                for _, p, r in precision_tables(
                    state["targets"], state["predictions"], state["keys"], MAX_PREDICTIONS
                )
            ),
        )
        return {
            f"{name}[score={source}]": value
            for name, value in zip(METRIC_NAMES, values, strict=True)
        }
