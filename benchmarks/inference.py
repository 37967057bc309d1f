"""Speed of generation: batching, shared images and constrained decoding.

    python -m benchmarks.inference

The shipped tiny model on one thread, in three comparisons:

- batched: 32 questions of mixed lengths, on images from 96 x 96 to 256 x 256 pixels with 1 to 8
  categories each, in batches of 16 against one by one;
- shared: 8 questions on one image of 1024 x 1024 pixels (1,024 tokens; Rex-Omni takes up to 2,560)
  that is encoded once, against the same questions on 8 copies of it; in one batch both times;
- constrained: the questions of the first comparison with and without constrained decoding. The
  completions differ in length, so steps of the model are counted and not tokens. A step of this
  model takes a few milliseconds; ``benchmarks.constrained`` has the cost for a real vocabulary.

The two sides of a comparison alternate, and the median of the ratios of CPU time is given. The
first two generate 40 tokens per question whatever the model predicts, so that both sides do the
same work. The last line is JSON: each ratio is the speed of the first side over that of the second.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image

from rexkit.backends import Generation, Request, TransformersBackend
from rexkit.datasets import ShapesDataset
from rexkit.models import TinyVLM
from rexkit.tasks import GroundingTask, QuestionArguments

ROUNDS = 5
FIXED_TOKENS = 40
MAX_TOKENS = 160  # in the third comparison; most completions are far shorter
QUESTIONS = 32
CATEGORIES = [
    "red square",
    "blue circle",
    "green star",
    "dog",
    "cup",
    "yellow ring",
    "cat",
    "pink bar",
]

Run = Callable[[], Sequence[Generation]]


def question(image: Image.Image, categories: Sequence[str]) -> Request:
    """Build a grounding request."""
    task = GroundingTask()
    asked = task.question(image.size, QuestionArguments(list(categories)))
    return Request(image, asked.prompt, task.answer_form(asked))


def mixed(seed: int = 0) -> list[Request]:
    """Build questions of mixed lengths, each on its own image."""
    rng = np.random.default_rng(seed)
    images = ShapesDataset(QUESTIONS, seed=seed)
    return [
        question(
            images[number].image.resize(tuple(32 * rng.integers(3, 9, 2))),
            rng.permutation(CATEGORIES)[: rng.integers(1, len(CATEGORIES) + 1)].tolist(),
        )
        for number in range(QUESTIONS)
    ]


def fixed_length(vlm: TinyVLM, batch_size: int) -> TransformersBackend:
    """Build a backend whose completions all have `FIXED_TOKENS` tokens."""
    backend = TransformersBackend(vlm, batch_size=batch_size, max_new_tokens=FIXED_TOKENS)
    backend.generation_config.min_new_tokens = FIXED_TOKENS
    return backend


def tokens_of(run: Run) -> int:
    """Count the generated tokens of a run."""
    return sum(len(generation.token_ids) for generation in run())


def compare(name: str, first: Run, second: Run, work: Callable[[Run], int] = tokens_of) -> float:
    """Return the speed of the first over that of the second, the median over rounds.

    Args:
        name: the names of both, for the table.
        first: one side.
        second: the other side.
        work: a function that runs one side and returns the amount of work.
    """
    speeds = []
    for number in range(ROUNDS + 1):
        pair = []
        for run in (first, second):
            start = time.process_time()
            done = work(run)
            pair.append(done / (time.process_time() - start))
        if number:  # the first round warms up
            speeds.append(pair)
    ours, theirs = (statistics.median(column) for column in zip(*speeds, strict=True))
    ratio = statistics.median(a / b for a, b in speeds)
    print(f"{name:<32}{ours:>10.0f}{theirs:>10.0f}{ratio:>8.2f}")
    return round(ratio, 3)


def step_counter(vlm: TinyVLM) -> Callable[[Run], int]:
    """Return a function that counts the calls of the language model in a run."""

    def steps_of(run: Run) -> int:
        steps = 0

        def count(*_: object) -> None:
            nonlocal steps
            steps += 1

        hook = vlm.inner.language_model.register_forward_pre_hook(count)
        try:
            run()
        finally:
            hook.remove()
        return steps

    return steps_of


def main() -> None:
    """Print the table and the ratios."""
    torch.set_num_threads(1)
    vlm = TinyVLM()
    requests = mixed()
    large = ShapesDataset(1, seed=1)[0].image.resize((1024, 1024))
    one = [question(large, CATEGORIES[: number + 1]) for number in range(8)]
    copies = [Request(r.image.copy(), r.prompt, r.constraint) for r in one]
    batched, alone = fixed_length(vlm, 16), fixed_length(vlm, 1)
    on_large = fixed_length(TinyVLM(max_pixels=1024 * 1024), 16)
    constrained, free = (
        TransformersBackend(vlm, batch_size=16, max_new_tokens=MAX_TOKENS, constrain=constrain)
        for constrain in (True, False)
    )
    print(f"{'tokens or steps per second':<32}{'first':>10}{'second':>10}{'ratio':>8}")
    record = {
        "batched_over_one_by_one": compare(
            "batched, one by one",
            lambda: batched.generate(requests),
            lambda: alone.generate(requests),
        ),
        "shared_over_unshared": compare(
            "shared image, copies",
            lambda: on_large.generate(one),
            lambda: on_large.generate(copies),
        ),
        "constrained_over_free": compare(
            "constrained, free",
            lambda: constrained.generate(requests),
            lambda: free.generate(requests),
            step_counter(vlm),
        ),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
