"""Testing a model: the ground truth as response is perfect, and all results are written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from PIL import Image
from scripted_backend import Scripted

from rexkit.backends import Generation, Request, TransformersBackend
from rexkit.backends.presence import MarginalPresence
from rexkit.datasets import ShapesDataset
from rexkit.errors import UserError
from rexkit.evaluation.evaluator import evaluate
from rexkit.examples import ExampleDataset, Source
from rexkit.formats.predictions import read_predictions
from rexkit.grammar.tokens import BOX_START
from rexkit.models import TinyVLM
from rexkit.registry import VISUALIZERS
from rexkit.tasks import GroundingTask, PointingTask, VisualPromptTask


def data(*tasks, size: int = 12) -> ExampleDataset:
    return ExampleDataset([Source(ShapesDataset(size, seed=i), t) for i, t in enumerate(tasks)])


def test_the_ground_truth_as_response_is_perfect_up_to_binning(tmp_path):
    examples = data(GroundingTask())
    values = evaluate(Scripted(examples), examples, out_dir=tmp_path)
    assert values["f1@0.5"] == values["recall@0.5"] == values["rejection_accuracy"] == 1.0
    assert values["f1@0.95"] > 0.5
    assert json.loads((tmp_path / "metrics.json").read_text()) == pytest.approx(values)


def test_metrics_per_category_are_written(tmp_path):
    examples = data(GroundingTask(), size=6)
    evaluate(Scripted(examples), examples, out_dir=tmp_path)
    (file,) = tmp_path.rglob("per_category.json")
    table = json.loads(file.read_text())
    targets = [i.phrase for n in range(6) for i in examples[n].target.instances]
    assert {phrase: row["targets"] for phrase, row in table.items()} == dict(Counter(targets))
    assert all(row["f1@0.5"] == 1.0 for row in table.values())


def test_a_wrong_response_lowers_the_metrics(tmp_path):
    examples = data(GroundingTask())
    wrong = Scripted(examples, lambda text: text.replace("None", "<1><1><9><9>"))
    assert evaluate(wrong, examples)["rejection_accuracy"] == 0.0
    assert evaluate(wrong, examples)["f1@0.5"] < 1.0


def test_a_refused_request_counts_as_no_prediction_and_is_recorded(tmp_path):
    examples = data(GroundingTask(), size=4)
    backend = Scripted(examples)
    generate = backend.generate

    def refusing(requests):
        error = UserError("request 2: status 400")
        return [*generate(requests[:-1]), Generation("", [], 0, 0.0, False, error=error)]

    backend.generate = refusing
    values = evaluate(backend, examples, out_dir=tmp_path)
    assert 0 < values["recall@0.5"] < 1
    rows = list(read_predictions(tmp_path / "box_eval" / "Shapes" / "predictions.jsonl"))
    assert [row.error for row in rows] == [None, None, None, "request 2: status 400"]


def test_predictions_are_written_with_their_problems(tmp_path):
    examples = data(GroundingTask(), size=3)
    backend = Scripted(examples, lambda text: text.removesuffix("<|box_end|>"))
    evaluate(backend, examples, out_dir=tmp_path)
    file = tmp_path / "box_eval" / "Shapes" / "predictions.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 3
    for i, row in enumerate(rows):
        assert row["question"] == examples[i].prompt
        assert row["source"] == examples[i].source
        assert set(row["extracted_predictions"]) == set(row["gt"]) == set(row["categories"])
        for phrase, boxes in row["gt"].items():
            assert boxes == examples[i].target.boxes(phrase).tolist()
        assert row["raw_response"] == examples[i].response.removesuffix("<|box_end|>")
        assert [p["kind"] for p in row["problems"]] == ["truncated"]
        assert row["num_output_tokens"] == 3


def test_several_data_sets_have_metrics_each_and_together(tmp_path):
    shapes = ShapesDataset(6)
    task = GroundingTask()
    both = [Source(shapes, task, name="right"), Source(ShapesDataset(3, seed=1), task)]
    examples = ExampleDataset([*both, Source(shapes, PointingTask(), name="right")])
    backend = Scripted(examples)
    for i in range(6, 9):  # nothing is found in the second
        backend.responses[examples[i].prompt, examples[i].image.tobytes()] = ""
    values = evaluate(backend, examples, out_dir=tmp_path)
    folders = ("box_eval/right", "box_eval/Shapes", "point_eval/right")
    files = [tmp_path / folder / "metrics.json" for folder in folders]
    right, wrong, points = (json.loads(file.read_text()) for file in files)
    assert (right["f1@0.5"], wrong["f1@0.5"], points["f1"]) == (1.0, 0.0, 1.0)
    targets = [len(examples[i].target.instances) for i in range(9)]
    assert values["detection/recall@0.5"] == pytest.approx(sum(targets[:6]) / sum(targets))
    assert values["pointing/f1"] == 1.0
    assert "f1@0.5" not in values


def test_a_test_that_is_killed_keeps_what_it_has(tmp_path, monkeypatch):
    monkeypatch.setattr("rexkit.evaluation.evaluator.WINDOW", 2)
    examples = data(GroundingTask(), size=5)
    evaluate(Scripted(examples), examples, out_dir=tmp_path)

    class Dying(Scripted):
        rounds = 0

        def generate(self, requests: Sequence[Request]) -> list[Generation]:
            self.rounds += 1
            if self.rounds == 3:
                raise KeyboardInterrupt
            return super().generate(requests)

    with pytest.raises(KeyboardInterrupt):
        evaluate(Dying(examples), examples, out_dir=tmp_path)
    folder = tmp_path / "box_eval" / "Shapes"
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == [0, 1, 2, 3]
    assert not (folder / "metrics.json").exists()  # the values of the test before


def test_records_are_written_as_responses_come(tmp_path, monkeypatch):
    monkeypatch.setattr("rexkit.evaluation.evaluator.WINDOW", 1)
    examples = data(GroundingTask(), size=4)
    file = tmp_path / "box_eval" / "Shapes" / "predictions.jsonl"
    written = []

    class Watching(Scripted):
        def generate(self, requests: Sequence[Request]) -> list[Generation]:
            written.append(len(file.read_text().splitlines()))
            return super().generate(requests)

    evaluate(Watching(examples), examples, out_dir=tmp_path)
    assert written == [0, 1, 2, 3]


def test_each_task_has_its_metrics():
    examples = data(GroundingTask(), PointingTask(), VisualPromptTask())
    values = evaluate(Scripted(examples), examples)
    assert values["detection/f1@0.5"] == values["pointing/f1"] == 1.0
    assert values["visual_prompting/f1@0.5"] == 1.0
    assert values["visual_prompting/f1@0.5_without_references"] == 1.0
    assert values["pointing/counting_mae"] == 0.0


def test_images_are_drawn(tmp_path):
    examples = data(GroundingTask(), size=4)
    evaluate(
        Scripted(examples),
        examples,
        visualizer=VISUALIZERS.build(dict(type="PillowVisualizer")),
        num_images=2,
        show_dir=tmp_path,
    )
    drawn = sorted(tmp_path.glob("*.png"))
    assert [path.stem for path in drawn] == ["00000", "00002"]  # of four, spread evenly
    assert Image.open(drawn[0]).width > 2 * 128


@pytest.fixture(scope="module")
def vlm() -> TinyVLM:
    return TinyVLM()  # random weights would generate the same for every prompt


def requests(number: int) -> list[Request]:
    shapes = ShapesDataset(number)
    asked = ["red circle", "blue square", "green triangle"]
    prompts = [GroundingTask().prompt(asked[: 1 + i % 3]) for i in range(number)]
    return [Request(shapes[i].image, prompts[i]) for i in range(number)]


def test_responses_come_in_order_whatever_the_batch(vlm):
    alone = TransformersBackend(vlm, batch_size=1, max_new_tokens=60).generate(requests(7))
    batched = TransformersBackend(vlm, batch_size=4, max_new_tokens=60).generate(requests(7))
    assert len({g.text for g in alone}) > 3
    assert [g.token_ids for g in alone] == [g.token_ids for g in batched]
    assert [g.prompt_tokens for g in alone] == [g.prompt_tokens for g in batched]
    cut = TransformersBackend(vlm, max_new_tokens=3).generate(requests(2))
    assert all(g.truncated and len(g.token_ids) == 3 for g in cut)


def generation_favouring(vlm: TinyVLM, token: int) -> Generation:
    """What comes out when the model wants nothing but one token."""

    def favour(layer, inputs, logits):
        logits[..., token] += 1000
        return logits

    hook = vlm.model.lm_head.register_forward_hook(favour)
    try:
        return TransformersBackend(vlm, max_new_tokens=5).generate(requests(1))[0]
    finally:
        hook.remove()


def test_forbidden_tokens_are_never_generated(vlm):
    image_pad = vlm.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert image_pad not in generation_favouring(vlm, image_pad).token_ids


def test_the_end_of_the_turn_ends_the_response(vlm):
    end = vlm.tokenizer.eos_token_id
    generation = generation_favouring(vlm, end)
    assert (generation.text, generation.token_ids, generation.truncated) == ("", [end], False)


def test_presence_is_decided_on_the_sum_of_all_coordinates(vlm):
    decide = MarginalPresence(vlm.tokenizer)
    start = vlm.tokenizer.convert_tokens_to_ids(BOX_START)
    scores = torch.full((3, 2000), -20.0)
    scores[:, decide.coordinates] = torch.log(torch.tensor(0.8 / 1000))
    scores[:, decide.none] = torch.log(torch.tensor(0.2))
    scores[1, decide.none] = 1.0
    ids = torch.tensor([[7, start], [7, start], [start, 7]])
    decided = decide(ids, scores)
    assert decided[0].argmax() in decide.coordinates
    assert decided[1].argmax() == decide.none
    assert torch.isinf(decided[1, decide.coordinates]).all()
    assert torch.equal(decided[2], scores[2])
