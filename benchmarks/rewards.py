"""Time of one reward, reading included.

    python -m benchmarks.rewards

The last line is JSON: median milliseconds of ``box_iou`` for a completion with 5, 20 and 200 boxes
of one category.
"""

from __future__ import annotations

import json
from functools import partial

from benchmarks.read import median_us, response
from rexkit.grammar import read
from rexkit.rewards import box_f1, box_iou
from rexkit.structures import Annotation

SIZE = (1440, 810)


def main() -> None:
    """Print the table and the results."""
    times = {}
    print(f"{'boxes':<10}{'read + box_iou':>16}{'box_iou':>12}{'box_f1':>12}   (ms)")
    for boxes in (5, 20, 200):
        ground_truth = read(response(1, boxes), SIZE)
        target = Annotation(SIZE, list(ground_truth.instances))
        text = response(1, boxes, seed=1)
        whole = median_us(partial(_read_and_reward, text, target))
        prediction = read(text, SIZE)
        bare = median_us(partial(box_iou, prediction, target))
        matched = median_us(partial(box_f1, prediction, target))
        print(f"{boxes:<10}{whole / 1e3:>16.3f}{bare / 1e3:>12.3f}{matched / 1e3:>12.3f}")
        times[f"box_iou_{boxes}_ms"] = round(whole / 1e3, 3)
    print(json.dumps(times))


def _read_and_reward(text: str, target: Annotation) -> float:
    return box_iou(read(text, SIZE), target)


if __name__ == "__main__":
    main()
