"""The configs of the public evaluation set, on a small one of real images in its layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from paths import CONFIGS

from rexkit.cli import main
from rexkit.config import load_config
from rexkit.datasets import CocoDataset, InstanceMaskDataset, JsonlDataset
from rexkit.errors import ConfigError
from rexkit.models import TinyVLM
from rexkit.run import Run

NAMES = sorted(path.stem for path in (CONFIGS / "eval" / "rex_omni").glob("*.py"))
PUBLIC = {
    "box_eval": "COCO LVIS Dense200 DocLayNet HierText HumanRef IC15 M6Doc RefCOCOg_test "
    "RefCOCOg_val SROIE TotalText VisDrone",
    "point_eval": "COCO Dense200 HumanRef LVIS RefCOCOg_test RefCOCOg_val VisDrone",
    "visual_prompt_eval": "COCO Dense200 FSCD_test LVIS VisDrone",
    "ocr_box_eval": "HierText IC15 SROIE TotalText",
    "ocr_polygon_eval": "HierText IC15 SROIE TotalText",
}
"""The datasets that the public evaluation/README.md lists for each kind, and those with text."""

QUESTIONS = {
    "box_eval": "Detect RBC, Platelets, dog. Output the bounding box coordinates in "
    "[x0, y0, x1, y1] format.",
    "point_eval": "point to nuclei, cell.",
    "visual_prompt_eval": 'Given reference boxes {"WBC": "<368><439><591><734>"} indicating one or '
    "more objects, find all objects with the same category in the image and output their bounding "
    "boxes in [x0, y0, x1, y1] format.",
    "ocr_box_eval": "Can you detect all the word in this image in box format like "
    "[x0, y0, x1, y1] and then recognize them?",
    "ocr_polygon_eval": "Can you detect all the word in this image in polygon format like "
    "[x0, y0, x1, y1, x2, y2 ...] and then recognize them?",
}
NUMBER = 3


def kind_of(name: str) -> tuple[str, str]:
    kind = next(kind for kind in sorted(PUBLIC, key=len, reverse=True) if name.startswith(kind))
    return kind, next(n for n in PUBLIC[kind].split() if name == f"{kind}_{n.lower()}")


def rows(kind: str, shared_data: Path) -> list[dict[str, Any]]:
    """Rows of real images; ``image_path`` is where the image lies now."""
    if kind == "point_eval":
        data: Any = InstanceMaskDataset(shared_data / "pointing" / "points.jsonl")
    elif kind.startswith("ocr"):
        file = shared_data / "ocr" / "icdar2015.jsonl"
        data = JsonlDataset(file, shared_data / "ocr")
    else:
        bccd = shared_data / "bccd"
        data = CocoDataset(bccd / "val.json", bccd / "val")
    made = []
    for number in range(NUMBER):
        sample = data[number]
        truth: dict[str, Any] = {}
        for i in sample.annotation.instances:
            if kind == "point_eval":
                truth.setdefault(i.phrase, []).append(i.mask)
            elif kind.startswith("ocr"):
                if not i.ignore:
                    truth.setdefault(i.text, []).append(i.polygon.ravel().tolist())
            else:
                truth.setdefault(i.phrase, []).append(i.bbox.tolist())
        row = {"image_path": sample.image_path, "gt": truth, "dataset_name": "small"}
        if kind == "point_eval":
            row |= {"gt": {"gt_mask": truth}, "categories": ["nuclei", "cell"]}
            row["task_name"] = "pointing"
        elif kind == "visual_prompt_eval":
            row["visual_prompt"] = {phrase: boxes[:2] for phrase, boxes in truth.items()}
            row |= {"categories": list(truth), "task_name": "visual_prompt_detection"}
        elif kind == "box_eval":
            row |= {
                "categories": ["RBC", "Platelets", "dog"],
                "task_name": "dense_object_detection",
            }
        else:
            row |= {"categories": ["word"], "task_name": "task2_detect_all_in_polygon_and_recog"}
        made.append(row)
    return made


@pytest.fixture(scope="module")
def eval_root(shared_data, tmp_path_factory) -> Path:
    """The small set: images in a folder beside ``_annotations``, as the public README shows it."""
    root = tmp_path_factory.mktemp("Rex-Omni-Eval")
    (root / "images").mkdir()
    for kind, names in PUBLIC.items():
        made = rows(kind, shared_data)
        for row in made:
            shutil.copy(row["image_path"], root / "images")
            row["image_path"] = f"images/{Path(row['image_path']).name}"
        text = "".join(json.dumps(row) + "\n" for row in made)
        # OCR and boxes of one dataset are one public file; here each has a set of its own.
        folder = root / (kind if kind.startswith("ocr") else ".") / "_annotations"
        folder /= "box_eval" if kind.startswith("ocr") else kind
        folder.mkdir(parents=True)
        for name in names.split():
            (folder / f"{name}.jsonl").write_text(text)
        if kind.startswith("ocr"):
            shutil.copytree(root / "images", root / kind / "images")
    # The annotation files of COCO and LVIS, with the images of the set.
    data = json.loads((shared_data / "bccd" / "val.json").read_text("utf-8"))
    for image in data["images"]:
        image |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    (root / "coco").mkdir()
    for name in ("instances_val2017.json", "lvis_v1_val_with_filename2.json"):
        (root / "coco" / name).write_text(json.dumps(data))
    return root


@pytest.fixture(scope="module")
def tiny_checkpoint(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("checkpoint")
    TinyVLM(weights=None, family="qwen2_5_vl").save(folder)
    return str(folder)


def options(name: str, root: Path) -> dict[str, Any]:
    kind, _ = kind_of(name)
    folder = root / kind if kind.startswith("ocr") else root
    small = {"model.dtype": "float32", "model.max_pixels": 40000, "backend.max_new_tokens": 12}
    return {"data_root": str(folder), **small}


def test_there_is_a_config_for_each_public_dataset_and_kind():
    public = {f"{kind}_{n.lower()}" for kind, names in PUBLIC.items() for n in names.split()}
    assert set(NAMES) == public


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_built_and_asks_as_the_public_script(name, eval_root, tiny_checkpoint, tmp_path):
    kind, dataset = kind_of(name)
    overrides = {**options(name, eval_root), "work_dir": str(tmp_path)}
    config = load_config(f"eval/rex_omni/{name}", overrides)
    run = Run.from_config(config, "test", tiny_checkpoint)
    examples = run.test_data
    assert examples is not None
    assert examples.sources[0].name == dataset
    # A visual prompt of a row asks for each of its categories.
    assert len(examples) == (8 if kind == "visual_prompt_eval" else NUMBER)
    assert examples[0].prompt == QUESTIONS[kind]
    assert run.metrics is not None
    assert run.metrics[0] == "RexOmniF1"
    params = run.backend.sampling  # type: ignore[union-attr]
    assert (params.temperature, params.repetition_penalty) == (0.0, 1.05)
    assert params.stop == ("<0><0><0><0>",)
    assert load_config(f"eval/rex_omni/{name}").backend.max_new_tokens == 4096


@pytest.mark.parametrize("kind", PUBLIC)
def test_rexkit_test_runs_to_the_end(kind, eval_root, tiny_checkpoint, tmp_path, capsys):
    name = f"{kind}_{PUBLIC[kind].split()[0].lower()}"
    given = {**options(name, eval_root), "test_data.dataset.max_num_samples": 2}
    words = ["test", f"eval/rex_omni/{name}", tiny_checkpoint, "--work-dir", str(tmp_path / "work")]
    assert main([*words, "--cfg-options", *(f"{k}={v}" for k, v in given.items())]) == 0
    metrics = json.loads((tmp_path / "work" / "metrics.json").read_text())
    assert metrics["rexomni_images"] + metrics["rexomni_failed"] == 2
    assert "rexomni_precision@0.5" in metrics or "rexomni_precision" in metrics
    (file,) = (tmp_path / "work").rglob("predictions.jsonl")
    assert file.parent.name == kind_of(name)[1]
    asked = [json.loads(line)["question"] for line in file.read_text("utf-8").splitlines()]
    assert all(question.startswith(QUESTIONS[kind][:22]) for question in asked)
    assert ("rexomni_coco_f1@0.5" in metrics) == (kind == "box_eval")
    if kind == "visual_prompt_eval":
        assert len(asked) > 2  # every category of both images
        assert "rexomni_mae" in metrics


def test_a_set_that_is_not_there_is_named_with_data_root(tiny_checkpoint, tmp_path, capsys):
    words = ["test", "eval/rex_omni/box_eval_coco", tiny_checkpoint]
    words += ["--work-dir", str(tmp_path / "work"), "--cfg-options", "data_root=/nowhere"]
    assert main(words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "test_data.dataset" in said
    assert "/nowhere/annotations/box_eval/COCO.jsonl" in said
    assert "data_root=FOLDER" in said


def test_the_annotation_file_of_coco_is_needed_for_its_figures(eval_root, tiny_checkpoint):
    overrides = {**options("box_eval_lvis", eval_root), "metrics.4.ann_file": "/nowhere.json"}
    config = load_config("eval/rex_omni/box_eval_lvis", overrides)
    with pytest.raises((ConfigError, FileNotFoundError), match=r"/nowhere\.json"):
        Run.from_config(config, "test", tiny_checkpoint)


def test_max_num_samples_is_checked(eval_root):
    overrides = {"data_root": str(eval_root), "test_data.dataset.max_num_samples": 0}
    config = load_config("eval/rex_omni/box_eval_coco", overrides)
    with pytest.raises(ConfigError, match="max_num_samples: must be a whole number above 0"):
        Run.from_config(config, "test")
