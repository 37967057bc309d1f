"""The wrapper of the public package: arguments, records, and what is ignored."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from rexkit import Predictor
from rexkit.backends import Backend, Generation, Request
from rexkit.compat import RexOmniVisualize, RexOmniWrapper, TaskType
from rexkit.errors import ConfigError, UserError

GREY = Image.new("RGB", (200, 100), "grey")


class Saying(Backend):
    """Gives one text to every request."""

    model_source = "given"

    def __init__(self, text: str, truncated: bool = False):
        self.text, self.truncated = text, truncated
        self.prompts: list[str] = []

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        self.prompts += [request.prompt for request in requests]
        return [Generation(self.text, [1] * 7, 50, 0.5, self.truncated) for _ in requests]


@pytest.fixture
def tiny() -> RexOmniWrapper:
    return RexOmniWrapper("tiny", max_tokens=48)


def says(wrapper: RexOmniWrapper, text: str, truncated: bool = False) -> Saying:
    wrapper.predictor.backend = backend = Saying(text, truncated)
    return backend


def test_a_model_predicts():
    tiny = RexOmniWrapper("tiny", max_tokens=48, repetition_penalty=1.0)
    image = Image.new("RGB", (128, 128), "black")
    image.paste("red", (32, 32, 96, 96))
    [result] = tiny.inference(images=image, task=TaskType.DETECTION, categories=["red square"])
    predictor = Predictor("tiny", max_new_tokens=48)
    [expected] = predictor.predict(image, categories=["red square"])
    assert result["extracted_predictions"] == expected.prediction.to_dict()
    assert len(result["extracted_predictions"]["red square"]) == 1
    assert result["raw_output"].endswith("<|box_end|><|im_end|>")
    assert result["num_output_tokens"] > 8
    assert result["inference_time"] >= result["generation_time"] > 0
    rate = result["num_output_tokens"] / result["generation_time"]
    assert result["tokens_per_second"] == pytest.approx(rate)
    json.dumps(result)


def test_the_defaults_of_the_public_wrapper_are_passed():
    wrapper = RexOmniWrapper("tiny")
    sampling = wrapper.predictor.backend.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.0, 0.8, 1)
    assert (sampling.repetition_penalty, sampling.max_new_tokens) == (1.05, 4096)
    assert sampling.stop == ()
    assert wrapper.stop == ["<|im_end|>"]
    assert RexOmniWrapper("tiny", stop=["<|im_end|>", "cat"]).predictor.backend.sampling.stop == (
        "cat",
    )


def test_settings_of_released_weights_are_those_of_the_public_wrapper(checkpoint):
    (checkpoint / "rexkit.json").unlink()
    wrapper = RexOmniWrapper(str(checkpoint), "Transformers")
    assert (wrapper.min_pixels, wrapper.max_pixels) == (16 * 28 * 28, 2560 * 28 * 28)
    assert wrapper.system_prompt == "You are a helpful assistant"
    assert wrapper.backend == wrapper.model_type == "transformers"
    assert wrapper.processor.image_processor.size["longest_edge"] == wrapper.max_pixels
    wrapper = RexOmniWrapper(str(checkpoint), max_pixels=100 * 784, system_prompt="Look.")
    assert (wrapper.max_pixels, wrapper.system_prompt) == (100 * 784, "Look.")


@pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16"])
def test_torch_dtype(checkpoint, dtype):
    wrapper = RexOmniWrapper(str(checkpoint), torch_dtype=dtype, attn_implementation="sdpa")
    assert wrapper.model.dtype == torch.bfloat16


def test_names_of_tasks_in_any_case_and_as_enum(tiny):
    backend = says(tiny, "")
    tasks = ["Detection", "POINTING", TaskType.OCR_BOX, "gui_Grounding", TaskType.GUI_POINTING]
    results = tiny.inference([GREY] * 5, tasks, categories="cup")
    assert [result["task"] for result in results] == [
        *("detection", "pointing", "ocr_box", "gui_grounding", "gui_pointing")
    ]
    assert len(backend.prompts) == 5
    with pytest.raises(UserError, match="'detect'; did you mean 'detection'"):
        tiny.inference(GREY, "detect", "cup")
    with pytest.raises(UserError, match="expected a TaskType"):
        tiny.inference(GREY, 3, "cup")


def test_unused_arguments_are_ignored_with_one_warning(tiny):
    backend = says(tiny, "")
    with pytest.warns(UserWarning, match="ignores") as caught:
        results = tiny.inference(
            images=[GREY, GREY, GREY],
            task=["visual_prompting", "keypoint", "detection"],
            categories=["cat"],
            keypoint_type="animal",
            visual_prompt_boxes=[10, 10, 50, 50],
            batch_size=3,
        )
    assert len(caught) == 1
    message = str(caught[0].message)
    for name in ("batch_size", "categories (not of the task 'visual_prompting')", "keypoint_type"):
        assert name in message
    assert caught[0].filename == __file__
    assert all(result["success"] for result in results)
    assert '"<49><99><249><499>"' in backend.prompts[0]
    assert backend.prompts[1].startswith("Can you detect each cat")
    assert backend.prompts[2].startswith("Detect cat.")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny.inference(GREY, "detection", ["cat"])


def test_arguments_of_each_image(tiny):
    backend = says(tiny, "")
    tiny.inference(
        images=[GREY, GREY, GREY],
        task=["keypoint", "visual_prompting", "visual_prompting"],
        categories=[["hand"], None, None],
        keypoint_type=["hand", None, None],
        visual_prompt_boxes=[None, [[20, 10, 40, 30], [50, 50, 60, 60]], [0, 0, 10, 10]],
    )
    assert "wrist" in backend.prompts[0]
    assert '["<99><99><199><299>", "<249><499><299><599>"]' in backend.prompts[1]
    assert '["<0><0><49><99>"]' in backend.prompts[2]
    with pytest.raises(UserError, match="categories: a list of 1 for 2 images"):
        tiny.inference([GREY, GREY], "detection", [["cup"]])
    with pytest.raises(UserError, match="categories: the task 'detection' needs"):
        tiny.inference(GREY, "detection")
    assert tiny.inference([], "detection", "cup") == []


def test_arguments_without_effect_are_ignored_and_unknown_ones_are_not():
    with pytest.warns(UserWarning, match="trust_remote_code") as caught:
        wrapper = RexOmniWrapper(
            "tiny", quantization="awq", trust_remote_code=True, gpu_memory_utilization=0.9
        )
    assert len(caught) == 1
    assert "quantization (for the backend vllm only)" in str(caught[0].message)
    assert wrapper.quantization == "awq"
    with pytest.raises(ConfigError, match="'max_token'; did you mean 'max_new_tokens'"):
        RexOmniWrapper("tiny", max_token=5)
    with pytest.raises(ConfigError, match="'transformer'; did you mean 'transformers'"):
        RexOmniWrapper("tiny", backend="transformer")


def test_options_of_vllm(monkeypatch):
    seen = {}

    class Recorded:
        vlm = image_processor = None
        backend = None

        def __init__(self, model, backend, **options):
            seen.update(options, model=model, backend=backend)

    monkeypatch.setattr("rexkit.inference.predictor.Predictor", Recorded)
    with pytest.warns(UserWarning, match="device_map.*limit_mm_per_prompt"):
        RexOmniWrapper(
            "IDEA-Research/Rex-Omni-AWQ",
            backend="VLLM",
            quantization="awq",
            max_tokens=2048,
            top_k=-1,
            device_map="auto",
            limit_mm_per_prompt={"image": 10},
            tensor_parallel_size=2,
            torch_dtype=torch.float16,
        )
    assert seen == {
        "model": "IDEA-Research/Rex-Omni-AWQ",
        "backend": "vllm",
        "quantization": "awq",
        "dtype": "float16",
        "max_model_len": 4096,
        "gpu_memory_utilization": 0.8,
        "tensor_parallel_size": 2,
        "max_new_tokens": 2048,
        "temperature": 0.0,
        "top_p": 0.8,
        "top_k": 0,
        "repetition_penalty": 1.05,
        "stop": [],
    }


def test_an_image_that_cannot_be_used_has_its_error(tiny, tmp_path):
    says(tiny, "")
    (tmp_path / "a.png").write_text("no image")
    first, second = tiny.inference([str(tmp_path / "a.png"), GREY], "detection", "cup")
    assert first["success"] is False
    assert "image" in first["error"]
    assert (first["extracted_predictions"], first["raw_output"]) == ({}, "")
    assert second["success"] is True
    assert "error" not in second


def test_keypoints_have_the_public_keys(tiny):
    text = (
        '{"cat1": {"bbox": " <0> <0> <999> <999> ", "keypoints": {"nose": " <0> <999> ", '
        '"neck": "unvisible"}}, "cat2": {"keypoints": {"nose": "<1><1>"}}}'
    )
    says(tiny, text)
    [result] = tiny.inference(GREY, "keypoint", ["cat"], "animal")
    assert result["extracted_predictions"] == {
        "cat": [
            {
                "type": "keypoint",
                "bbox": [0.0, 0.0, 200.0, 100.0],
                "keypoints": {"nose": [0.0, 100.0], "neck": "unvisible"},
                "instance_id": "cat1",
            }
        ]
    }
    assert list(result["extracted_predictions"]["cat"][0]) == [
        *("type", "bbox", "keypoints", "instance_id")
    ]


def test_raw_output(tiny):
    text = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><9"
    says(tiny, text, truncated=True)
    [result] = tiny.inference(GREY, "detection", "cup")
    assert result["raw_output"] == text
    # The public parser takes the two numbers for a point.
    assert result["extracted_predictions"] in ({}, {"cup": []})
    plain = RexOmniWrapper("tiny", skip_special_tokens=True)
    says(plain, f"{text}><9><|box_end|>")
    [result] = plain.inference(GREY, "detection", "cup")
    assert "<|" not in result["raw_output"]
    assert "cup" in result["raw_output"]
    assert len(result["extracted_predictions"]["cup"]) == 1


def test_records_of_the_released_weights_are_the_published_ones(tiny, shared_data):
    folder = shared_data / "rexomni_outputs"
    rows = [json.loads(line) for line in (folder / "outputs.jsonl").read_text().splitlines()]
    published = [row for row in rows if row["reported_predictions"]]
    assert len(published) == 2
    for row in published:
        says(tiny, row["raw_output"].removesuffix("<|im_end|>"))
        image = Image.open(folder / row["image"])
        [result] = tiny.inference(image, row["task"], row["categories"])
        assert list(result["extracted_predictions"]) == list(row["reported_predictions"])
        for category, entries in row["reported_predictions"].items():
            found = result["extracted_predictions"][category]
            assert [e["type"] for e in found] == [e["type"] for e in entries]
            for one, other in zip(found, entries, strict=True):
                assert one["coords"] == pytest.approx(other["coords"], abs=1e-9)
        if row["backend"] == "transformers":
            assert result["raw_output"] == row["raw_output"]


def test_colours_labels_and_widths():
    box = {"type": "box", "coords": [40, 20, 160, 80]}
    found = {"cup": [box], "dog": []}
    drawn = np.asarray(
        RexOmniVisualize(GREY, found, draw_width=4, custom_colors={"cup": np.array([255, 0, 0])})
    )
    assert (drawn[50, 40:44] == (255, 0, 0)).all()
    assert (drawn[50, 44] == (128, 128, 128)).all()
    bare = np.asarray(RexOmniVisualize(GREY, found, show_labels=False))
    assert (bare[:19] == 128).all()
    assert (np.asarray(RexOmniVisualize(GREY, found))[:19] != 128).any()
    assert (np.asarray(GREY) == 128).all()
    untyped = RexOmniVisualize(GREY, {"cup": [{"coords": box["coords"]}]}, show_labels=False)
    assert (np.asarray(untyped) == bare).all()


def test_a_point_is_a_disc_of_the_drawn_width():
    drawn = np.asarray(
        RexOmniVisualize(
            GREY,
            {"cup": [{"type": "point", "coords": [100, 50]}]},
            draw_width=18,
            show_labels=False,
            custom_colors={"cup": (255, 0, 0)},
        )
    )
    assert (drawn[50, 100:117] == (255, 0, 0)).all()
    assert (drawn[50, 130:] == 128).all()
