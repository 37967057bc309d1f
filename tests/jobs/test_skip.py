"""Rows that cannot be used, at every stage from file to batch: skipped and reported, or named."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from rexkit.backends import TransformersBackend
from rexkit.datasets import JsonlDataset
from rexkit.errors import ConfigError, DataError
from rexkit.evaluation.evaluator import evaluate
from rexkit.examples import LISTED, ExampleDataset, Source, build_examples
from rexkit.models import TinyVLM
from rexkit.registry import DATASETS
from rexkit.structures import Sample
from rexkit.tasks import GroundingTask
from rexkit.training.grpo.grpo_trainer import GRPOTrainer
from rexkit.training.sampler import EpochSampler
from rexkit.training.sft_trainer import SFTTrainer

SMALL: dict[str, Any] = dict(
    hidden_size=64, layers=1, heads=1, vision_hidden_size=64, max_pixels=96 * 96, weights=None
)
CUP = {"phrase": "cup", "bbox": [1, 1, 3, 30]}
LONG = {"phrase": "the cup " * 200, "bbox": [1, 1, 3, 30]}
THIN = {"image": "thin.png", "boxes": [CUP]}
GOOD = {"image": "a.png", "boxes": [CUP]}
TOO_LONG = {"image": "a.png", "boxes": [LONG]}


def rows(folder: Path, *found: dict[str, Any], on_error: str = "skip") -> Any:
    Image.new("RGB", (32, 32)).save(folder / "a.png")
    Image.new("RGB", (4, 2000)).save(folder / "thin.png")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    return JsonlDataset(folder / "rows.jsonl", on_error=on_error)  # type: ignore[arg-type]


def examples(dataset: Any, transform: Callable[..., Sample] | None = None) -> ExampleDataset:
    source = Source(dataset, GroundingTask(), [transform] if transform else [])
    return ExampleDataset([source], training=True)


@pytest.fixture(scope="module")
def vlm() -> TinyVLM:
    return TinyVLM(max_length=300, **SMALL)


def sft(vlm: TinyVLM, data: ExampleDataset, folder: Path) -> Any:
    arguments = dict(max_steps=2, per_device_train_batch_size=2, disable_tqdm=True)
    return SFTTrainer(vlm, data, folder / "run", save_strategy="no", **arguments)


def packed(vlm: TinyVLM, data: ExampleDataset, folder: Path) -> Any:
    arguments = dict(max_steps=2, per_device_train_batch_size=2, disable_tqdm=True)
    return SFTTrainer(vlm, data, folder / "run", save_strategy="no", packing=True, **arguments)


def grpo(vlm: TinyVLM, data: ExampleDataset, folder: Path) -> Any:
    arguments = dict(max_completion_length=8, num_generations=2, gradient_checkpointing=False)
    return GRPOTrainer(
        vlm,
        data,
        folder / "run",
        rewards=["format"],
        max_steps=1,
        per_device_train_batch_size=2,
        save_strategy="no",
        disable_tqdm=True,
        **arguments,
    )


@pytest.mark.parametrize("trainer", [sft, packed, grpo])
def test_rows_that_the_model_cannot_take_are_skipped_or_named(
    trainer: Any, vlm: TinyVLM, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    every = (GOOD, THIN, TOO_LONG, GOOD)
    data = examples(rows(tmp_path, *every))
    job = trainer(vlm, data, tmp_path)
    assert [source.rows.tolist() for source in data.sources] == [[0, 3]]
    assert [error.kind for error in data.sources[0].skipped] == ["model", "model"]
    assert "2 of 4 rows are skipped (2 model): " in caplog.text
    thin, long = data.skipped
    assert "rows.jsonl:2: an image of 4 x 2000 pixels: one side is more than 200" in thin
    assert "rows.jsonl:3: " in long
    assert "exceed max_length=300" in long
    job.train()
    for number, message in ((1, "rows.jsonl:2: an image of 4 x 2000"), (2, "rows.jsonl:3: .*300")):
        strict = examples(rows(tmp_path, *every, on_error="raise"))
        trainer(vlm, strict, tmp_path)
        with pytest.raises(DataError, match=message + r".*on_error='skip'"):
            strict[number]


def test_a_batch_names_the_sample_that_the_model_cannot_take(vlm: TinyVLM, tmp_path: Path) -> None:
    data = examples(rows(tmp_path, GOOD, THIN, TOO_LONG, on_error="raise"))
    for number, message in ((1, "rows.jsonl:2: an image of 4"), (2, "rows.jsonl:3: .* exceed")):
        for encode in (vlm.encoder.examples, vlm.encoder.on_one_image):
            if number == 1 or encode == vlm.encoder.examples:
                with pytest.raises(DataError, match=message):
                    encode([data[number], data[0]])


def test_tests_skip_what_the_backend_cannot_take(vlm: TinyVLM, tmp_path: Path) -> None:
    backend = TransformersBackend(vlm, max_new_tokens=2)
    data = ExampleDataset([Source(rows(tmp_path, THIN, GOOD, THIN), GroundingTask())])
    evaluate(backend, data, out_dir=tmp_path / "out")
    (records,) = (tmp_path / "out").rglob("predictions.jsonl")
    assert [json.loads(line)["source"][-2:] for line in records.read_text().splitlines()] == [":2"]
    assert len(data.skipped) == 2
    strict = ExampleDataset([Source(rows(tmp_path, GOOD, THIN, on_error="raise"), GroundingTask())])
    with pytest.raises(DataError, match=r"rows.jsonl:2: .* pixels: one side .*on_error='skip'"):
        evaluate(backend, strict)


@pytest.mark.parametrize("use", [sft, packed, grpo])
def test_no_usable_row_is_one_error(use: Any, vlm: TinyVLM, tmp_path: Path) -> None:
    data = examples(rows(tmp_path, THIN, TOO_LONG, THIN))
    with pytest.raises(ConfigError, match=r"no row of the dataset can be used; .*rows.jsonl:1: an"):
        use(vlm, data, tmp_path)


@pytest.mark.parametrize("bad", [[{"image": "a.png"}], [{"image": "b.png", "boxes": [CUP]}], [3]])
def test_no_readable_row_is_one_error(bad: Any, tmp_path: Path) -> None:
    rows(tmp_path, *bad)
    dataset = dict(type="JsonlDataset", ann_file=str(tmp_path / "rows.jsonl"), on_error="skip")
    cfg = dict(dataset=dataset, task=dict(type="GroundingTask"))
    for key in ("train_data", "val_data"):
        with pytest.raises(ConfigError, match=rf"^{key}.dataset: no row .* can be used; 1 of 1"):
            build_examples(cfg, key, 0, True)


class Unlucky:
    """A transform that fails for some draws, as a plugin's may."""

    def __init__(self, share: float, error: Exception):
        self.share, self.error = share, error

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() < self.share:
            raise self.error
        return sample


def drawn(data: ExampleDataset, epoch: int = 0) -> list[str]:
    return [data[epoch, index].source.rpartition(":")[2] for index in range(len(data))]


@pytest.mark.parametrize("error", [DataError("no luck"), ValueError("no"), KeyError("x")])
def test_a_row_that_fails_by_chance_is_replaced_by_the_next(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = examples(rows(tmp_path, *[GOOD] * 20), Unlucky(0.3, error))
    data.skip_unusable()
    assert len(data) == 20  # a row may fail for one draw and not for three
    first = drawn(data)
    again = pickle.loads(pickle.dumps(data))
    assert first == drawn(data) == drawn(again)
    assert first != drawn(data, 1)
    assert len(set(first)) < 20
    expected = [n for n in range(20) if np.random.default_rng((0, 0, n)).random() < 0.3]
    assert expected
    assert [n for n in range(20) if first[n] != str(n + 1)] == expected
    assert sum("another row takes its place" in message for message in caplog.messages) == 1
    assert "rows were skipped where they could not be used" in data.reports[-1]


def test_workers_replace_the_same_rows(tmp_path: Path) -> None:
    data = examples(rows(tmp_path, *[GOOD] * 12), Unlucky(0.4, DataError("no luck")))
    order = EpochSampler(len(data), seed=3)
    expected = [data[key].source for key in order]
    before = data.sources[0].replaced_rows
    fresh = examples(rows(tmp_path, *[GOOD] * 12), Unlucky(0.4, DataError("no luck")))
    loader = DataLoader(
        fresh,  # type: ignore[arg-type]
        sampler=order,
        num_workers=2,
        collate_fn=lambda items: items[0].source,
    )
    assert list(loader) == expected
    assert fresh.sources[0].replaced_rows == before != []  # counted in memory that they share


def test_every_draw_in_vain_is_one_error(tmp_path: Path) -> None:
    data = examples(rows(tmp_path, GOOD, GOOD), Unlucky(2, DataError("no luck")))
    with pytest.raises(ConfigError, match=r"no row .* can be used; the first: .*:1: no luck"):
        data[1, 0]
    with pytest.raises(ConfigError, match=r"no row .* can be used; the first: .*:1: no luck"):
        data.skip_unusable()


def test_reports_list_and_count(tmp_path: Path) -> None:
    bad = [{"image": "a.png", "boxes": []}] * 60
    data = examples(rows(tmp_path, GOOD, *bad))
    data.skip_unusable()
    assert len(data.reports) == LISTED + 1
    assert data.reports[-1] == "skipped: … and 10 more"


def test_one_report_has_every_kind(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    missing = {"image": "b.png", "boxes": [CUP]}
    wrong = {"image": "a.png", "boxes": [{"phrase": "cup", "bbox": [1, 1, 3]}]}
    rows(tmp_path, GOOD, missing, wrong, missing, GOOD)
    dataset = DATASETS.build(
        dict(type="JsonlDataset", ann_file=str(tmp_path / "rows.jsonl"), on_error="skip")
    )
    assert len(dataset) == 2
    assert "3 of 5 rows are skipped (1 annotation, 2 image): " in caplog.text
    assert "rows.jsonl:3: boxes[0] 'cup': bbox [1, 1, 3] must be 4 numbers" in caplog.text


def test_an_unexpected_exception_of_a_row_is_a_data_error(tmp_path: Path) -> None:
    class Odd(JsonlDataset):
        def load_row(self, row: int) -> Any:
            if row == 1:
                raise KeyError("odd")
            return super().load_row(row)

    rows(tmp_path, GOOD, GOOD)
    with pytest.raises(DataError, match=r"rows.jsonl:2: unexpected KeyError \('odd'\)") as caught:
        Odd(tmp_path / "rows.jsonl")[1]
    assert caught.value.kind == "annotation"
    assert len(Odd(tmp_path / "rows.jsonl", on_error="skip").skipped) == 1
