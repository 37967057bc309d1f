"""Run the public evaluation scripts with a model that answers from a table.

Their imports of vLLM, qwen_vl_utils and transformers are replaced by objects that do no more than
hand the image and the prompt over; everything else is the scripts' own code.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import runpy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from PIL import Image

Answer = Callable[[Image.Image, str], str]
"""(image, prompt) → response."""


def run_inference(
    public: Path, script: str, answer: Answer, file: Path, image_root: Path, *options: str
) -> list[dict[str, Any]]:
    """Run an inference script on a file of the evaluation set.

    Args:
        public: the checkout of the public repository.
        script: "inference_text_prompt" or "inference_visual_prompt".
        answer: the model.
        file: the JSONL file.
        image_root: the folder that its paths are relative to.
        options: further arguments of the script.

    Returns:
        The records that it writes.
    """
    out = image_root / "answers" / f"{script}.jsonl"
    words = [f"--test_jsonl_path={file}", f"--image_root_dir={image_root}", f"--save_path={out}"]
    path = public / "evaluation" / f"{script}.py"
    written = out.with_name(f"{script}_0_-1.jsonl")  # the script adds its first and last index
    written.unlink(missing_ok=True)
    with _stand_ins(answer), patch.object(sys, "argv", [str(path), *words, *options]), quiet():
        runpy.run_path(str(path), run_name="__main__")
    return [json.loads(line) for line in written.read_text("utf-8").splitlines()]


def run_script(path: Path, arguments: list[str]) -> None:
    """Run a public script that needs no model."""
    with patch.object(sys, "argv", [str(path), *arguments]), quiet():
        runpy.run_path(str(path), run_name="__main__")


def public_functions(public: Path) -> dict[str, Any]:
    """Return the functions of the script for text prompts, such as ``parse_prediction``."""
    with _stand_ins(lambda image, prompt: ""):
        return runpy.run_path(str(public / "evaluation" / "inference_text_prompt.py"))


def public_metrics(public: Path, records: list[dict[str, Any]]) -> dict[str, float]:
    """Return what the public metric script computes of records, unrounded.

    ``print_results`` of the script rounds to three digits; the means here are its own, of the lists
    that it makes them of.
    """
    module = load_module(public / "evaluation" / "metrics" / "other_metric.py")
    thresholds = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    if any(r.get("task_name") in ("pointing", "pointing_referring") for r in records):
        thresholds = [0.5]
    with quiet():
        results = module.UniversalMetricsCalculator().calculate_all_metrics(records, thresholds)
    tables = {}
    for iou, table in results.items():
        for basic in table["basic_metrics"].values():
            p, r = mean(basic["precisions"]), mean(basic["recalls"])
            tables[iou] = {"f1": 2 * (p * r) / (p + r) if p + r > 0 else 0.0}
            tables[iou] |= {"precision": p, "recall": r}
    found = {f"{name}@{iou}": tables[iou][name] for iou in tables for name in tables[iou]}
    values = {k: v for k, v in found.items() if k.endswith(("@0.5", "@0.95"))}
    for name in ("f1", "precision", "recall"):
        values[f"{name}@0.5:0.95"] = mean(table[name] for table in tables.values())
    for group, field, name in (
        ("visual_prompt_metrics", "maes", "mae"),
        ("instruction_following_metrics", "ratios", "instruction_following"),
        ("hallucination_metrics", "accuracies", "hallucination_accuracy"),
        ("gui_metrics", "accuracies", "gui_accuracy"),
        ("wrong_rejection_metrics", "wrong_rejections", "wrong_rejection"),
        ("keypoint_metrics", "ap_scores", "keypoint_ap@0.5"),
        ("keypoint_metrics", "avg_oks", "keypoint_oks"),
    ):
        listed = [
            value["AP@0.50"] if isinstance(value, dict) else value
            for table in results.values()
            for metric in table.get(group, {}).values()
            for value in metric[field]
        ]
        if listed:
            values[name] = mean(listed)
    first = next(iter(results.values()))["basic_metrics"].values()
    values["images"] = sum(len(basic["recalls"]) for basic in first)
    return {name: float(value) for name, value in values.items()}


def load_module(path: Path) -> Any:
    """Import a public file as a module of its own."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # noqa: PT018 - one condition
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Print nothing."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _stand_ins(answer: Answer) -> Iterator[None]:
    class Model:
        def __init__(self, **options: Any) -> None:
            pass

        def generate(self, requests: list[dict[str, Any]], **options: Any) -> list[Any]:
            (request,) = requests
            (image,) = request["multi_modal_data"]["image"]
            output = SimpleNamespace(text=answer(image, request["prompt"]))
            return [SimpleNamespace(outputs=[output])]

    class Number(int):
        def item(self) -> int:
            return int(self)

    class Grid(int):
        def __mul__(self, other: int) -> Number:
            return Number(int(self) * other)

    class Inputs(dict[str, Any]):
        def to(self, device: str) -> Inputs:
            return self

    class Processor:
        @classmethod
        def from_pretrained(cls, path: str, **options: Any) -> Processor:
            return cls()

        def apply_chat_template(self, messages: list[Any], **options: Any) -> str:
            return str(messages[-1]["content"][-1]["text"])

        def __call__(self, **options: Any) -> Inputs:
            return Inputs(image_grid_thw=[[Grid(1), Grid(20), Grid(20)]])

    def images_of(messages: list[Any]) -> tuple[list[Any], None]:
        return [part["image"] for part in messages[-1]["content"] if part["type"] == "image"], None

    stand_ins = {
        "vllm": {"LLM": Model, "SamplingParams": SimpleNamespace},
        "qwen_vl_utils": {"process_vision_info": images_of},
        "transformers": {"AutoProcessor": Processor},
    }
    modules = {}
    for name, content in stand_ins.items():
        modules[name] = ModuleType(name)
        modules[name].__dict__.update(content)
    with patch.dict(sys.modules, modules):
        yield
