"""COCO's average precision, by faster-coco-eval."""

from __future__ import annotations

from rexkit.metrics.box_rows import BoxRows, fill_scores
from rexkit.metrics.coco_tables import means, tables
from rexkit.registry import METRICS

FIGURES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)
"""COCO's twelve figures, in its order."""

MOST_ANSWERS = [1, 10, 100]
"""How many answers a phrase and image are looked at."""


@METRICS.register_module()
class CocoAP(BoxRows):
    """COCO's twelve figures of boxes; a phrase is a category.

    AP ranks answers by score. Where every answered box has one, the names end in
    ``[score=model]``. The answers of a language model have none: then all score 1, the names end
    in ``[score=constant]``, and the figures are comparable only with others made so. Equal scores
    are ranked by image, then as answered; images are put in an order that depends on nothing
    but their truth, so that the figures do not depend on the order of adding.

    As in COCO, a figure without any truth to it is -1, at most 100 boxes a phrase and image are
    looked at, and ignored instances are crowds. Small, medium and large (32² and 96² pixels) go by
    ``extra["area"]`` where the data set gives a number, as COCO's files do, else by the box.
    """

    def compute(self) -> dict[str, float]:
        state = self.state()
        source = fill_scores(state["answers"])
        figures = means(
            len(FIGURES),
            (
                [
                    *(p[:, :, :, 0, 2], p[0, :, :, 0, 2], p[5, :, :, 0, 2]),
                    *(p[:, :, :, size, 2] for size in (1, 2, 3)),
                    *(r[:, :, 0, most] for most in (0, 1, 2)),
                    *(r[:, :, size, 2] for size in (1, 2, 3)),
                ]
                for _, p, r in tables(
                    state["truths"], state["answers"], state["keys"], MOST_ANSWERS
                )
            ),
        )
        return {
            f"{name}[score={source}]": value for name, value in zip(FIGURES, figures, strict=True)
        }
