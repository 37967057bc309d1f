"""Time to read one completion.

    python -m benchmarks.read

The texts have 3 phrases with 4 boxes each, 1 with 200 and 80 with 3, as the released weights write
them. Three times are given, each a median over many runs: reading (which checks every token and
reports problems, but builds instances only on first access), reading and building the instances,
and reading and making the public records. A second table has the same texts with white space
between the tokens, as some engines return them. The last line is JSON.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from rexkit.grammar import read, write
from rexkit.structures import Instance

SIZE = (1000, 800)
SHAPES = {"3x4": (3, 4), "1x200": (1, 200), "80x3": (80, 3)}
SECONDS_EACH = 0.5


def response(phrases: int, boxes: int, seed: int = 0) -> str:
    """Write a response with that many phrases and boxes per phrase."""
    rng = np.random.default_rng(seed)
    instances = []
    for number in range(phrases):
        low = rng.uniform(0, 400, (boxes, 2))
        corners = np.hstack([low, low + rng.uniform(4, 390, (boxes, 2))])
        instances += [Instance(f"object {number}", bbox=box) for box in corners]
    return write(instances, SIZE) + "<|im_end|>"


def spaced(text: str) -> str:
    """Add a blank on both sides of every token."""
    return text.replace("<", " <").replace(">", "> ")


def median_us(call: Callable[[], object], seconds: float = SECONDS_EACH) -> float:
    """Return the median time of a call in microseconds."""
    call()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - start) / 1000)
    return statistics.median(times)


def table(title: str, texts: dict[str, str]) -> dict[str, float]:
    """Print the times of some texts; return those of reading alone."""
    print(f"{title:<20}{'read':>10}{'.instances':>14}{'.to_dict()':>14}   (µs)")
    times = {}
    for name, text in texts.items():
        times[name] = median_us(partial(read, text, SIZE))
        built = median_us(partial(_instances, text))
        records = median_us(partial(_records, text))
        print(f"{name:<20}{times[name]:>10.1f}{built:>14.1f}{records:>14.1f}")
    return times


def _instances(text: str) -> object:
    return list(read(text, SIZE).instances)


def _records(text: str) -> object:
    return read(text, SIZE).to_dict()


def main() -> None:
    """Print the tables and the results."""
    texts = {name: response(*shape) for name, shape in SHAPES.items()}
    for text in texts.values():
        assert not read(text, SIZE).problems
    times = table("as written", texts)
    print()
    table("with white space", {name: spaced(text) for name, text in texts.items()})
    print()
    print(json.dumps({f"{name}_us": round(us, 1) for name, us in times.items()}))


if __name__ == "__main__":
    main()
