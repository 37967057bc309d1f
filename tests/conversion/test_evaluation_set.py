"""The public evaluation set of Rex-Omni as a source of conversions."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from rexkit.cli.convert_command import main
from rexkit.conversion import find_format
from rexkit.errors import ConfigError

SIZE = (64, 48)
BOXES = [
    {"image_path": "a.png", "gt": {"cup": [[5, 5, 20, 20]], "dog": None}, "task_name": "detection"},
    {"image_path": "deep/b.png", "gt": {"EXIT": [[1, 1, 9, 9]]}, "categories": ["word"],
     "dataset_name": "TextOCR"},
    {"image_path": "none.png", "gt": {}},
]  # fmt: skip
PROMPT = {
    "image_path": "a.png",
    "gt": {"cup": [[5, 5, 20, 20], [30, 5, 40, 20]], "dog": [[1, 30, 9, 40]]},
    "visual_prompt": {"cup": [[5, 5, 20, 20]], "dog": [[1, 30, 9, 40]]},
}


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "deep/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", SIZE).save(tmp_path / name)
    for kind, rows in (("box_eval", BOXES), ("visual_prompt_eval", [PROMPT])):
        file = tmp_path / "annotations" / kind / "Own.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path


def test_a_split_for_each_file_and_a_row_for_each_image(folder, capsys):
    assert find_format(folder)[0] == "rexomni-eval"
    assert main([str(folder), str(folder / "out"), "--workers", "1"]) == 1
    said = capsys.readouterr().err
    assert "3 images (box_eval_Own 2, visual_prompt_eval_Own 1), 1 rows could not be used" in said
    assert "Own.jsonl:3" in said
    first, second = map(json.loads, (folder / "out" / "box_eval_Own.jsonl").open())
    assert [(e["phrase"], e["bbox"]) for e in first["boxes"]] == [
        ("cup", [5, 5, 20, 20]),
        ("dog", None),
    ]
    assert first["extra"] == {"task_name": "detection"}
    assert second["image"] == "images/box_eval_Own/deep/b.png"
    assert second["boxes"][0] | {"phrase": "word", "text": "EXIT"} == second["boxes"][0]
    [row] = map(json.loads, (folder / "out" / "visual_prompt_eval_Own.jsonl").open())
    assert len(row["boxes"]) == 3
    assert [e["phrase"] for e in row["boxes"] if e.get("reference")] == ["cup", "dog"]


def test_one_file_and_what_it_is_not(folder):
    file = folder / "annotations" / "box_eval" / "Own.jsonl"
    _, found, seen = find_format(file)
    assert seen == f"'gt' in {file}"
    [(split, part)] = found.open(file, None).items()
    assert (split, part.image_root) == ("", folder)
    with pytest.raises(ConfigError, match="--to: rexomni-eval is only read"):
        main([str(file), str(folder / "out"), "--to", "rexomni-eval"])
    with pytest.raises(ConfigError, match="does not accept it; it accepts none of these flags"):
        main([str(file), str(folder / "out"), "--coordinates", "0-1"])


def test_predictions_are_not_taken_for_it(folder):
    line = BOXES[0] | {"raw_response": "", "extracted_predictions": {}}
    (folder / "predictions.jsonl").write_text(json.dumps(line))
    assert find_format(folder / "predictions.jsonl")[0] == "predictions"
