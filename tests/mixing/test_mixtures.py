"""Mixtures: shares, caps, stages, repeat factors and the order of rows, in every epoch."""

from __future__ import annotations

import json
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rexkit.datasets import ConcatDataset, JsonlDataset, MixtureDataset, ShapesDataset
from rexkit.datasets.mixture_shares import apportioned, capped_targets, temperature_shares
from rexkit.datasets.row_contents import contents_of, read_contents
from rexkit.errors import ConfigError, DataError
from rexkit.examples import ExampleDataset, build_examples
from rexkit.mixing import EpochPlan, Mixture, Permutation, RowOrder, SourceRows, Stage, row_factors
from rexkit.structures import Annotation, Instance, Sample


class Rows:
    """Rows with given phrases, an instance for each, and no image."""

    def __init__(self, rows, name="rows"):
        self.rows, self.name = rows, name

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        boxes = [Instance(phrase, bbox=[1, 1, 9, 9]) for phrase in self.rows[index]]
        return Sample(None, Annotation((10, 10), boxes), f"{self.name}[{index}]")


def source(rows, **keys):
    rows = [["cup"]] * rows if isinstance(rows, int) else rows
    return dict(dataset=dict(type=Rows, rows=rows), task=dict(type="GroundingTask"), **keys)


def mixed(*sources, seed: int = 0, **keys) -> ExampleDataset:
    return build_examples(dict(sources=sources, **keys), "train_data", seed, True)


def drawn(data: ExampleDataset, epoch: int) -> list[tuple[int, str]]:
    """Source and row of every example of an epoch."""
    return [
        (data.source_of(i, epoch), data[epoch, i].source.removeprefix("rows"))
        for i in range(len(data))
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**31))
def test_a_permutation_has_every_place_once(size, seed):
    order = Permutation(size, (seed, 1))
    assert sorted(order[place] for place in range(size)) == [*range(size)]


def test_permutations_are_random():
    firsts = Counter(Permutation(10, (seed,))[0] for seed in range(2000))
    assert len(firsts) == 10
    assert max(firsts.values()) < 270
    neighbours = [abs(Permutation(1000, (s,))[1] - Permutation(1000, (s,))[0]) for s in range(400)]
    assert 290 < np.mean(neighbours) < 380  # a third of 1,000


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(1, 500), st.data())
def test_numbers_sum_up_and_are_near_their_targets(weights, total, data):
    shares = np.array(weights) / sum(weights)
    counts = apportioned(shares * total, total)
    assert sum(counts) == total
    assert (np.abs(np.array(counts) - shares * total) < 1).all()
    caps = np.array([data.draw(st.sampled_from([3.0, 40.0, np.inf])) for _ in weights])
    capped = capped_targets(shares, total, caps)
    assert (capped <= caps + 1e-9).all()
    assert capped.sum() == pytest.approx(min(total, caps.sum()))


@pytest.mark.parametrize(
    ("temperature", "expected"), [(1, [0.9, 0.1]), (2, [0.75, 0.25]), (1e6, [0.5, 0.5])]
)
def test_shares_by_temperature(temperature, expected):
    assert temperature_shares([900, 100], temperature) == pytest.approx(expected, abs=1e-4)
    data = mixed(source(90), source(10), temperature=temperature, epoch_size=40)
    assert data.plan.counts(0) == [round(40 * share) for share in expected]


def test_shares_hold_in_every_epoch_and_every_row_comes_before_any_comes_twice():
    data = mixed(source(50, share=3), source(7, share=1), epoch_size=20)
    counts: Counter[tuple[int, str]] = Counter()
    for epoch in range(10):
        found = drawn(data, epoch)
        assert Counter(number for number, _ in found) == {0: 15, 1: 5}
        counts.update(found)
        for number in (0, 1):
            times = [n for (of, _), n in counts.items() if of == number]
            unseen = len(data.sources[number].dataset) - len(times)
            assert max(times) - (0 if unseen else min(times)) <= 1
    # Each pass has an order of its own, that of the file in none.
    rows = [row for number, row in drawn(data, 0) if number == 0]
    assert rows != [f"[{i}]" for i in range(15)]
    assert drawn(mixed(source(50, share=3), source(7, share=1), epoch_size=20), 3) == drawn(data, 3)
    other = mixed(source(50, share=3), source(7, share=1), epoch_size=20, seed=1)
    assert drawn(other, 3) != drawn(data, 3)
    assert drawn(pickle.loads(pickle.dumps(data)), 7) == drawn(data, 7)


def test_small_shares_are_made_up_for_over_the_epochs():
    plan = EpochPlan(
        [SourceRows("a", 100, share=0.97), SourceRows("b", 9, share=0.03)], Mixture(epoch_size=10)
    )
    totals = np.sum([plan.counts(epoch) for epoch in range(100)], axis=0)
    assert totals == pytest.approx([970, 30], abs=1)


def test_half_a_weight_draws_each_half_in_any_order():
    data = build_examples(source(40, weight=0.5), "train_data", 0, True)
    halves = [[row for _, row in drawn(data, epoch)] for epoch in (0, 1)]
    assert len(set(halves[0]) | set(halves[1])) == 40
    assert set(halves[0]) != {f"[{i}]" for i in range(20)}
    whole = build_examples(source(6, weight=2.0), "train_data", 0, True)
    assert [row for _, row in drawn(whole, 0)] == [f"[{i}]" for i in range(6)] * 2


def test_caps_hand_what_they_take_to_the_others():
    data = mixed(source(100, share=8, max_examples=30), source(50, share=1), source(50, share=1),
                 epoch_size=90)  # fmt: skip
    assert data.plan.counts(0) == [30, 30, 30]
    passes = mixed(source(100), source(5), temperature=100.0, max_passes=2, epoch_size=60)
    assert passes.plan.counts(0) == [50, 10]
    assert [round(passes.plan.passes(n, 0), 2) for n in (0, 1)] == [0.5, 2.0]
    alone = build_examples(source(100, max_examples=30), "train_data", 0, True)
    assert len(alone) == 30
    assert len({row for epoch in range(4) for _, row in drawn(alone, epoch)}) == 100


LONG_TAIL = [["cup"]] * 90 + [["cup", "dog"]] * 9 + [["yak"]]


def test_rare_categories_are_repeated_by_the_formula_of_lvis():
    contents = contents_of(LONG_TAIL)
    factors = row_factors(contents, repeat_threshold=0.25)
    expected = [1.0] * 90 + [np.sqrt(0.25 / 0.09)] * 9 + [5.0]
    assert factors == pytest.approx(expected)
    order = RowOrder(100, factors, seed=(3,))
    assert order.length == round(sum(expected))
    times = np.zeros((40, 100))
    for number in range(40):
        for place in range(order.length):
            times[number, order.row(number * order.length + place)] += 1
    assert (np.abs(times - factors) <= 1.01).all()
    assert times.mean(0) == pytest.approx(factors, abs=0.3)
    data = build_examples(source(LONG_TAIL, repeat_threshold=0.25), "train_data", 0, True)
    assert len(data) == order.length
    assert sum(row == "[99]" for _, row in drawn(data, 2)) == 5


def test_frequent_categories_are_capped_and_rare_ones_beside_them_kept():
    factors = row_factors(contents_of(LONG_TAIL), max_per_category=11)
    assert factors == pytest.approx([11 / 99] * 90 + [1.0] * 9 + [1.0])
    data = build_examples(source(LONG_TAIL, max_per_category=11), "train_data", 0, True)
    rows = [Counter(row for _, row in drawn(data, epoch)) for epoch in range(2)]
    assert len(data) == 20
    for epoch in rows:
        assert all(epoch[f"[{row}]"] == 1 for row in range(90, 100))
    assert rows[0] != rows[1]


def test_stages_draw_simple_rows_before_long_ones():
    rows = [["cup"] * n for n in range(1, 11)]
    data = mixed(
        source(rows),
        source([["dog"]] * 5),
        epoch_size=8,
        stages=[
            dict(epochs=2, max_instances=3, shares=[1, 0], name="simple"),
            dict(epochs=1, easiest=0.5, shares=[3, 1]),
            dict(),
        ],
    )
    for epoch, (first, second, rows_in_use) in enumerate([(8, 0, 3), (8, 0, 3), (6, 2, 5)]):
        assert data.plan.counts(epoch) == [first, second]
        assert data.plan.num_rows(0, epoch) == rows_in_use
        longest = max(len(data[epoch, i].target.instances) for i in range(first))
        assert longest <= rows_in_use
    assert data.plan.num_rows(0, 3) == 10
    assert data.plan.counts(50) in ([5, 3], [6, 2])
    assert Counter(drawn(data, 0) + drawn(data, 1)).most_common()[-1][1] >= 5


def test_shares_and_difficulty_change_evenly_where_asked():
    mixture = Mixture(
        epoch_size=100,
        stages=(Stage(4, shares=(1.0, 0.0), easiest=0.2), Stage(shares=(0.0, 1.0))),
        gradual=True,
    )
    contents = contents_of([["cup"] * n for n in range(10)])
    rows = [SourceRows(key, 10, contents=contents) for key in ("a", "b")]
    plan = EpochPlan(rows, mixture)
    assert [plan.counts(epoch)[1] for epoch in range(6)] == [0, 25, 50, 75, 100, 100]
    assert [plan.num_rows(0, epoch) for epoch in range(5)] == [2, 4, 6, 8, 10]


def test_several_tasks_are_split_with_their_shares():
    both = source(10, share=1) | dict(task=[dict(type="GroundingTask"), dict(type="GroundingTask")])
    data = mixed(both, source(10, share=3), epoch_size=40, stages=[dict(shares=[1, 1])])
    split = data.split_tasks()
    assert [len(data.plan.counts(0)), len(split.plan.counts(0))] == [2, 3]
    assert sum(split.plan.counts(0)) == 40


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (dict(temprature=2), r"train_data\.temprature: .*did you mean 'temperature'"),
        (dict(temperature=0.5), r"train_data\.temperature: must be a number of 1"),
        (dict(epoch_size=2.5), r"train_data\.epoch_size: must be a whole number of 1"),
        (dict(max_passes=0), r"train_data\.max_passes: must be a number above 0"),
        (dict(max_passes=1, epoch_size=99), r"train_data: the caps .* leave 20 examples"),
        (dict(gradual=True), r"train_data\.gradual: needs stages"),
        (dict(stages=[]), r"train_data\.stages: must be a list"),
        (dict(stages=[dict(), dict()]), r"train_data\.stages\.0\.epochs: missing"),
        (dict(stages=[dict(epoch=2)]), r"stages\.0\.epoch: .*'epochs'"),
        (dict(stages=[dict(shares=[1])]), r"stages\.0\.shares: must be 2 numbers"),
        (dict(stages=[dict(easiest=2)]), r"stages\.0\.easiest: must be a fraction"),
        (dict(stages=[dict(max_phrases=0)]), r"stages\.0\.max_phrases: must be a whole"),
        (dict(sources=[]), r"train_data\.sources: an empty list"),
        (dict(sources=[source(2, share=1), source(2)]), r"sources\.1\.share: missing"),
        (dict(sources=[source(2, share=1)], temperature=2), r"0\.share: give either shares or a"),
        (dict(sources=[source(2, share=1, weight=2)]), r"sources\.0\.weight: give either"),
        (dict(sources=[source(2, max_examples=0)]), r"sources\.0\.max_examples: must be a whole"),
        (
            dict(sources=[source([["a"] * 3])], stages=[dict(max_instances=2)]),
            r"train_data\.stages\.0: none of the 1 rows of train_data\.sources\.0",
        ),
    ],
)
def test_what_cannot_be_mixed_is_an_error_with_its_key(keys, message):
    cfg = dict(sources=[source(10), source(10)]) | keys
    with pytest.raises(ConfigError, match=message):
        build_examples(cfg, "train_data", 0, True)


def test_tests_are_not_mixed():
    with pytest.raises(ConfigError, match=r"^test_data\.temperature: only train_data is mixed"):
        build_examples(dict(sources=[source(1)], temperature=2.0), "test_data", 0, False)
    with pytest.raises(ConfigError, match=r"^test_data\.max_examples: only train_data is sampled"):
        build_examples(source(1, max_examples=3), "test_data", 0, False)
    with pytest.raises(ConfigError, match=r"^train_data\.share: needs a mixture"):
        build_examples(source(1, share=3), "train_data", 0, True)
    assert len(build_examples(dict(sources=[source(3)]), "test_data", 0, False)) == 3


def test_a_mixture_of_datasets_spreads_them_evenly():
    parts = [Rows([["a"]] * 90, "a"), Rows([["b"]] * 10, "b")]
    mixture = MixtureDataset(parts, weights=[3, 1])
    names = "".join(mixture[i].source[0] for i in range(len(mixture)))
    assert len(mixture) == 120  # the 90 rows once
    assert (names.count("a"), names.count("b")) == (90, 30)
    assert {names[i : i + 12].count("b") for i in range(0, 120, 12)} <= {2, 3, 4}
    assert {mixture[i].source for i in range(120)} == {
        *(f"a[{i}]" for i in range(90)),
        *(f"b[{i}]" for i in range(10)),
    }
    assert MixtureDataset(parts, temperature=2.0, size=40).counts == [30, 10]
    assert sorted(MixtureDataset(parts)[i].source for i in range(100)) == sorted(
        ConcatDataset(parts)[i].source for i in range(100)
    )
    assert mixture.row_phrases(0) == ["a"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (dict(weights=[1]), "weights: must be 2 numbers"),
        (dict(weights=[1, 0]), "weights: must be 2 numbers"),
        (dict(temperature=0), "temperature: must be a number of 1"),
        (dict(weights=[1, 1], temperature=2), "temperature: give either"),
        (dict(size=0), "size: must be a whole number"),
    ],
)
def test_a_mixture_of_datasets_that_cannot_be_is_an_error(keys, message):
    with pytest.raises(ValueError, match=message):
        MixtureDataset([ShapesDataset(2), ShapesDataset(3)], **keys)


def test_contents_are_read_without_images_and_subsets_are_taken():
    contents = read_contents(Rows(LONG_TAIL))
    some = contents.select(np.array([99, 0, 95]))
    assert [some.of_row(row) for row in range(3)] == [["yak"], ["cup"], ["cup", "dog"]]
    assert some.rows_per_category.tolist() == [2, 1, 1]
    shapes = ShapesDataset(3)
    found = read_contents(shapes)
    assert found.of_row(1) == list(dict.fromkeys(i.phrase for i in shapes[1].annotation.instances))

    class Broken(Rows):
        def row_phrases(self, index):
            raise DataError("no record", "a.jsonl:7")

    with pytest.raises(DataError, match=r"a\.jsonl:7"):
        read_contents(Broken([["cup"]]))


def test_rows_of_files_tell_their_phrases_without_their_image(tmp_path):
    boxes = [
        {"phrase": "cup", "bbox": [1, 1, 5, 5]},
        {"phrase": "cup", "bbox": [2, 2, 7, 7]},
        {"phrase": "fog", "bbox": [2, 2, 7, 7], "ignore": True},
        {"phrase": "dog", "bbox": None},
    ]
    row = {"image": "missing.png", "boxes": boxes, "points": [{"phrase": "cup", "point": [1, 2]}]}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({"image": "b.png"}))
    dataset = JsonlDataset(tmp_path / "a.jsonl")
    assert dataset.row_phrases(0) == ["cup", "cup"]
    with pytest.raises(DataError, match=r"a\.jsonl:2"):
        dataset.row_phrases(1)
