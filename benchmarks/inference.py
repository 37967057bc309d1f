"""What the ways of generating cost against each other: ``python -m benchmarks.inference``.

The shipped tiny model on one thread, three comparisons:

- batched: 32 questions of mixed lengths, about images from 96 x 96 to 256 x 256 pixels for 1 to 8
  things each, in batches of 16 against one by one;
- shared: 8 questions about one image of 1024 x 1024 pixels (1,024 tokens; Rex-Omni takes up to
  2,560) held once, against the same questions about 8 copies of it; in one batch both times;
- constrained: the questions of the first comparison with answers kept within their form against
  free ones. The answers differ in length, so steps of the model are counted and not tokens. A step
  of this model takes a few milliseconds; ``benchmarks.constrained`` has the cost beside a real one.

The two sides of a comparison take turns, and the median of the ratios of process time is given. The
first two generate 40 tokens a question whatever the model answers, so that both sides do the same.
The last line is JSON: each ratio is how many times as fast the first is as the second.
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
TOKENS = 40
LONGEST = 160  # of the answers of the third comparison, most of which end long before
QUESTIONS = 32
WORDS = ["red square", "blue circle", "green star", "dog", "cup", "yellow ring", "cat", "pink bar"]

Run = Callable[[], Sequence[Generation]]


def question(image: Image.Image, things: Sequence[str]) -> Request:
    task = GroundingTask()
    asked = task.question(image.size, QuestionArguments(list(things)))
    return Request(image, asked.prompt, task.answer_form(asked))


def mixed(seed: int = 0) -> list[Request]:
    """Questions of mixed lengths, each about an image of its own."""
    rng = np.random.default_rng(seed)
    images = ShapesDataset(QUESTIONS, seed=seed)
    return [
        question(
            images[number].image.resize(tuple(32 * rng.integers(3, 9, 2))),
            rng.permutation(WORDS)[: rng.integers(1, len(WORDS) + 1)].tolist(),
        )
        for number in range(QUESTIONS)
    ]


def fixed_length(vlm: TinyVLM, batch_size: int) -> TransformersBackend:
    """A backend whose answers all have `TOKENS` tokens."""
    backend = TransformersBackend(vlm, batch_size=batch_size, max_new_tokens=TOKENS)
    backend.generation_config.min_new_tokens = TOKENS
    return backend


def tokens_of(run: Run) -> int:
    return sum(len(answer.token_ids) for answer in run())


def compare(name: str, first: Run, second: Run, work: Callable[[Run], int] = tokens_of) -> float:
    """How many times as fast the first is as the second: the median of rounds side by side.

    Args:
        name: of the two, for the table.
        first, second: what is compared.
        work: runs one of them and says how much was done.
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
    """What counts how often the language model is called in a run."""

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
    torch.set_num_threads(1)
    vlm = TinyVLM()
    requests = mixed()
    large = ShapesDataset(1, seed=1)[0].image.resize((1024, 1024))
    one = [question(large, WORDS[: number + 1]) for number in range(8)]
    copies = [Request(r.image.copy(), r.prompt, r.constraint) for r in one]
    batched, alone = fixed_length(vlm, 16), fixed_length(vlm, 1)
    on_large = fixed_length(TinyVLM(max_pixels=1024 * 1024), 16)
    kept, free = (
        TransformersBackend(vlm, batch_size=16, max_new_tokens=LONGEST, constrain=constrain)
        for constrain in (True, False)
    )
    print(f"{'tokens, or steps, a second':<32}{'first':>10}{'second':>10}{'ratio':>8}")
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
            lambda: kept.generate(requests),
            lambda: free.generate(requests),
            step_counter(vlm),
        ),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
