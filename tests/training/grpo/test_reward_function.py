"""The reward function: each completion by the parser, target and rewards of its own source."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from rexkit.datasets import ShapesDataset
from rexkit.examples import ExampleDataset, Source
from rexkit.grammar import read
from rexkit.structures import Prediction
from rexkit.tasks import GroundingTask

pytest.importorskip("trl", reason="GRPO is an extra: pip install -e .[grpo]")
from rexkit.rewards import RewardError
from rexkit.training.grpo.reward_function import RewardFunction

END = 0


class Texts:
    """A tokenizer of whole texts: token n is text n."""

    eos_token_id = END

    def __init__(self, *texts: str):
        self.texts = ["<end>", *texts]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.texts[i] for i in ids)


def wide(prediction, target):
    """Reward the targets of wide images only."""
    return float(target.image_size[0] > target.image_size[1])


def other_parser(text, image_size):
    return Prediction(image_size, text=f"other {image_size[0]}x{image_size[1]}")


def examples() -> ExampleDataset:
    return ExampleDataset(
        [
            Source(ShapesDataset(2, image_size=(96, 32)), GroundingTask(), parser=read),
            Source(ShapesDataset(2, image_size=(32, 96)), GroundingTask(), parser=other_parser),
        ]
    )


def test_every_completion_is_read_and_rewarded_as_its_source_says():
    data, logged, batches = examples(), {}, []
    good = data[0].response
    reward = RewardFunction(
        data.sources,
        [dict(type=wide, name="wide")],
        "raise",
        Texts(good, "[junk] [junk]"),
        lambda *b: batches.append(b),
    )
    # The second source first: rows of a source are not the first rows of the batch.
    order, ids = [2, 0, 1], [[1, END], [1, END], [2]]
    asked, sources = [data[i] for i in order], [1, 0, 0]
    state = SimpleNamespace(global_step=7)
    totals = reward.total(ids, asked, sources, logged.__setitem__, state)
    assert totals == [0.0, 1.0, 1.0]
    (step, given, completions, table), *_ = batches
    assert (step, given, table.total.tolist()) == (7, asked, totals)
    assert [c.prediction.text for c in completions] == ["other 32x96", good, "[junk] [junk]"]
    assert [(c.num_tokens, c.truncated) for c in completions] == [(2, False), (2, False), (1, True)]
    assert logged["rewards/wide/mean"] == pytest.approx(2 / 3)
    kinds = [p.kind for c in completions for p in c.prediction.problems]
    assert kinds
    assert logged["problems/any"] == pytest.approx(1 / 3)
    for kind in kinds:
        assert logged[f"problems/{kind}"] == pytest.approx(kinds.count(kind) / 3)
    logged.clear()
    reward.total([[1, END]], [data[0]], [0], logged.__setitem__, state)
    # Zeros are logged too, or the mean over steps would be too high.
    assert {logged[f"problems/{kind}"] for kind in kinds} == {0.0}


def only_first(prediction, target):
    if target.image_size[0] < target.image_size[1]:
        raise ValueError("tall")
    return 1.0


def test_failed_rewards_are_counted_in_each_batch():
    data = examples()
    reward = RewardFunction(
        data.sources, [dict(type=only_first, name="only_first")], "zero", Texts("a")
    )
    for _ in range(2):
        logged: dict[str, float] = {}
        asked = [data[0], data[2], data[3]]
        reward.total(
            [[1]] * 3, asked, [0, 1, 1], logged.__setitem__, SimpleNamespace(global_step=0)
        )
        assert logged["reward_errors/only_first"] == 2
        assert logged["rewards/only_first/mean"] == pytest.approx(1 / 3)


def test_a_failed_reward_names_the_sample():
    data = examples()
    reward = RewardFunction(
        data.sources, [dict(type=only_first, name="only_first")], "raise", Texts("a")
    )
    predictions = [read("", data[i].target.image_size) for i in (0, 3)]
    with pytest.raises(RewardError, match=r"only_first.*ShapesDataset\(seed=0\)\[1\]"):
        reward.score(predictions, [data[0], data[3]], [0, 1])


def test_a_reward_that_only_one_source_has_is_logged_over_its_completions():
    data, logged = examples(), {}
    data.sources[0].rewards = [dict(type=wide, name="wide")]
    reward = RewardFunction(data.sources, ["format"], "raise", Texts("[junk]", data[0].response))
    reward.total(
        [[1], [2], [2]],
        [data[0], data[2], data[3]],
        [0, 1, 1],
        logged.__setitem__,
        SimpleNamespace(global_step=0),
    )
    assert (logged["rewards/wide/mean"], logged["rewards/wide/std"]) == (1.0, 0.0)
    assert np.isfinite([*logged.values()]).all()
