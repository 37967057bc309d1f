"""Label Studio's exports as data sets."""

from __future__ import annotations

import base64
import json

import pytest
from PIL import Image

from rexkit.errors import DataError
from rexkit.registry import DATASETS


def task(image, *annotations, predictions=(), **data):
    lists = {"annotations": [*annotations], "predictions": [*predictions]}
    return {"id": 1, "data": {"image": image, **data}, **lists}


def one_box(label, **fields):
    value = {"x": 10, "y": 20, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": [label]}
    result = {"id": "a", "type": "rectanglelabels", "from_name": "label", "value": value, **fields}
    return {"result": [{**result, "to_name": "image"}]}


@pytest.fixture
def opened(tmp_path):
    for name in ("0a1b2c3d-cup.png", "sub/a b.png", "dog.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 20)).save(tmp_path / name)

    def build(*tasks, **options):
        (tmp_path / "tasks.json").write_text(json.dumps(tasks))
        return DATASETS.build(
            dict(type="LabelStudioDataset", ann_file=str(tmp_path / "tasks.json"), **options)
        )

    return build


def test_images_and_annotations(opened, tmp_path):
    inside = base64.b64encode((tmp_path / "dog.png").read_bytes()).decode()
    dataset = opened(
        task("/data/upload/7/0a1b2c3d-cup.png", one_box("cup", original_width=40), place="kitchen"),
        task("/data/local-files/?d=pictures/sub/a%20b.png", one_box("cup")),
        task("https://example.org/x/dog.png?token=1", {"result": []}),
        task(f"data:image/png;base64,{inside}", one_box("dog", original_width=40)),
        task("dog.png"),
        task("none.png", one_box("dog")),
    )
    assert (len(dataset), dataset.unannotated) == (5, 1)
    first, second, third, fourth = (dataset[i] for i in range(4))
    assert first.annotation.boxes("cup").tolist() == [[4, 4, 24, 14]]
    assert first.annotation.extra == {"place": "kitchen"}
    assert second.image_path == str(tmp_path / "sub" / "a b.png")
    assert second.annotation.boxes("cup").tolist() == [[4, 4, 24, 14]]
    assert third.annotation.instances == []
    assert fourth.annotation.phrases == ["dog"]
    with pytest.raises(DataError, match=r"tasks.json\[5\]: there is no image 'none.png'"):
        dataset[4]


def test_predictions_where_nothing_is_annotated(opened):
    tasks = [
        task("dog.png", predictions=[one_box("dog", score=0.5)]),
        task("dog.png", one_box("cup"), predictions=[one_box("dog")]),
    ]
    assert [s.annotation.phrases for s in opened(*tasks)] == [["cup"]]
    found = opened(*tasks, predictions=True)
    assert [s.annotation.phrases for s in found] == [["dog"], ["cup"]]
    assert found[0].annotation.instances[0].score == 0.5
    with pytest.raises(DataError, match="none of its 1 tasks is annotated; predictions=True"):
        opened(tasks[0])


def test_tasks_that_cannot_be_used(opened):
    wrong_size = one_box("cup", original_width=80, original_height=20)
    rows = [task("dog.png", one_box("cup")), task("dog.png", wrong_size), {"image": "dog.png"}]
    dataset = opened(*rows, on_error="skip")
    assert len(dataset) == 1
    reasons = [str(error) for error in dataset.skipped]
    assert (
        "tasks.json[1]: the annotation is for an image of 80x20, this one has 40x20" in reasons[0]
    )
    assert "tasks.json[2]: this is no task of Label Studio" in reasons[1]
