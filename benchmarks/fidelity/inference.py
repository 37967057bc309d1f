"""Prompts, inputs and parsed responses beside those of the public Rex-Omni wrapper.

    python -m benchmarks.fidelity.inference PUBLIC FILE

writes what the public wrapper, of a checkout at PUBLIC, makes of 40 cases, for the tests.

Both wrappers get the same images, questions and responses. The checkpoint is the embedded model as
a Qwen2.5-VL without ``rexkit.json``, which is how rexkit sees the released weights. Its tokenizer
is smaller than Qwen's, with the same chat template and special tokens.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.fidelity.public_wrapper import public_package, public_wrapper, vllm_image
from rexkit.backends import Backend, Generation, Request
from rexkit.compat import RexOmniWrapper
from rexkit.grammar import write, write_keypoints
from rexkit.keypoints import SCHEMAS
from rexkit.models import TinyVLM
from rexkit.models.checkpoint_settings import SETTINGS
from rexkit.models.pixels import resize_to_grid
from rexkit.structures import Instance

Row = tuple[str, int, int, str]
"""What was compared, how many cases, how many differ, and a note."""

SIZES = [
    (640, 480),
    (97, 131),
    (1333, 800),
    (30, 400),
    (4000, 3000),
    (28, 28),
    (300, 200),
    (59, 61),
]
PHRASES = ("cup", "red cup", "dog", "traffic light", "person", "cafe door")
TASKS = (
    *("detection", "pointing", "visual_prompting", "keypoint"),
    *("ocr_box", "ocr_polygon", "gui_grounding", "gui_pointing"),
)


@dataclass
class Case:
    """A question about an image, and the response to it."""

    image: Image.Image
    task: str
    response: str
    arguments: dict[str, Any]


def draw_cases(number: int, seed: int = 0) -> list[Case]:
    """Draw questions of the eight tasks with well-formed responses."""
    return [_case(index, Random(f"{seed} {index}")) for index in range(number)]


def cut_off(drawn: Sequence[Case]) -> list[Case]:
    """Return cases with the response cut off inside, as at a token limit."""
    cut = [
        Random(f"cut {number}").randrange(len(case.response)) for number, case in enumerate(drawn)
    ]
    return [replace(c, response=c.response[:at]) for c, at in zip(drawn, cut, strict=True)]


@dataclass
class Run:
    """What one side made of some cases.

    Attributes:
        records: of the wrapper.
        inputs: what the model gets, ``input_ids`` and ``pixel_values`` among others.
        sampling: whether decoding is greedy, the repetition penalty, and the most tokens.
        vllm_images: the images that vLLM gets.
    """

    records: list[dict[str, Any]]
    inputs: list[dict[str, Any]]
    sampling: tuple[bool, float, int]
    vllm_images: list[Image.Image]


@contextmanager
def released_checkpoint() -> Iterator[str]:
    """Save a checkpoint that rexkit takes for one of the public code, and return its folder."""
    with TemporaryDirectory() as folder:
        TinyVLM(family="qwen2_5_vl", weights=None).save(folder)
        Path(folder, SETTINGS).unlink()
        yield folder


def rexkit_run(checkpoint: str, asked: Sequence[Case]) -> Run:
    """Ask `rexkit.compat.RexOmniWrapper` each case."""
    wrapper = RexOmniWrapper(checkpoint)
    sampling = _sampling(wrapper.predictor.backend.sampling.for_vllm())  # type: ignore[attr-defined]
    backend = ListedBackend(wrapper.predictor.vlm, [case.response for case in asked])
    wrapper.predictor.backend = backend
    records = [wrapper.inference(c.image, c.task, **c.arguments)[0] for c in asked]
    images = [resize_to_grid(c.image, wrapper.processor.image_processor) for c in asked]
    return Run(records, backend.inputs, sampling, images)


def public_run(public: Path, checkpoint: str, asked: Sequence[Case]) -> Run:
    """Ask the public wrapper each case."""
    with public_package(public) as package:
        wrapper = public_wrapper(package, checkpoint, [case.response for case in asked])
        records = [wrapper.inference(c.image, c.task, **c.arguments)[0] for c in asked]
        images = [vllm_image(package, wrapper, case.image) for case in asked]
    inputs = wrapper.model.inputs
    return Run(records, inputs, _sampling(inputs[0]), images)


def inference_rows(public: Path, number: int = 192, number_cut: int = 96) -> list[Row]:
    """Return the comparisons; see `Row`.

    Args:
        public: a checkout of the public repository.
        number: how many questions are asked.
        number_cut: how many of them are asked again with a response that is cut off.
    """
    drawn = draw_cases(number)
    every = [*drawn, *cut_off(drawn[:number_cut])]
    with released_checkpoint() as folder:
        ours, theirs = rexkit_run(folder, every), public_run(public, folder, every)
    whole, cut = slice(number), slice(number, None)

    def same(what: str, key: str, rows: slice, note: str = "") -> Row:
        left, right = ([r[key] for r in run.records[rows]] for run in (ours, theirs))
        return _row(what, left, right, note)

    return [
        same("prompts of the eight tasks", "prompt", whole),
        _row("token ids of prompts", *(_ids(run.inputs[whole]) for run in (ours, theirs))),
        same("numbers of prompt tokens", "num_prompt_tokens", whole),
        same("sizes of resized images", "resized_size", whole),
        _pixels(ours.inputs[whole], theirs.inputs[whole]),
        _row("images for vLLM", ours.vllm_images[whole], theirs.vllm_images[whole]),
        _row("sampling parameters", [ours.sampling], [theirs.sampling], "greedy, 1.05, 4,096"),
        same("parsed responses", "extracted_predictions", whole),
        same("parsed responses that are cut off", "extracted_predictions", cut, CUT_NOTE),
    ]


def summary(run: Run) -> list[dict[str, Any]]:
    """Return what a side made of each case, small enough for a file."""
    found = []
    for record, inputs in zip(run.records, run.inputs, strict=True):
        pixels = inputs["pixel_values"].double()
        found.append(
            {
                **{n: record[n] for n in ("task", "prompt", "num_prompt_tokens", "resized_size")},
                "token_ids": sha256(str(inputs["input_ids"][0].tolist()).encode()).hexdigest(),
                "pixels": [pixels.mean().item(), pixels.std().item(), pixels[-1, ::97].tolist()],
                "sampling": run.sampling,
                "extracted_predictions": record["extracted_predictions"],
            }
        )
    return found


CUT_NOTE = (
    "the public parser makes another geometry, or an empty answer, of what is there of an item"
)


class ListedBackend(Backend):
    """Gives the next responses of a list, and keeps the inputs that the model would get."""

    model_source = "given"

    def __init__(self, vlm: Any, responses: Sequence[str]):
        self.vlm = vlm
        self.responses = list(responses)
        self.inputs: list[dict[str, Any]] = []

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Return one generation for each request, in order."""
        found = []
        for request in requests:
            text = self.responses[len(self.inputs)]
            inputs = self.vlm.encoder.questions([request.image], [request.prompt])
            self.inputs.append(inputs)
            ids = self.vlm.tokenizer(text + "<|im_end|>", add_special_tokens=False).input_ids
            found.append(Generation(text, ids, inputs["input_ids"].shape[1], 0.0, False))
        return found


def _row(what: str, ours: Sequence[Any], theirs: Sequence[Any], note: str = "") -> Row:
    different = sum(a != b for a, b in zip(ours, theirs, strict=True))
    return what, len(ours), different, note if different or len(ours) == 1 else ""


def _ids(inputs: Sequence[dict[str, Any]]) -> list[list[int]]:
    return [row["input_ids"][0].tolist() for row in inputs]


def _pixels(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> Row:
    pairs = [(a["pixel_values"], b["pixel_values"]) for a, b in zip(ours, theirs, strict=True)]
    differences = [float((a - b).abs().max()) for a, b in pairs]
    note = f"largest difference {max(differences):.1g} of a range of 2, by the order of operations"
    return "pixel values, to 1e-6", len(pairs), sum(d > 1e-6 for d in differences), note


def _sampling(arguments: dict[str, Any]) -> tuple[bool, float, int]:
    """Return whether decoding is greedy, the repetition penalty, and the most tokens."""
    greedy = not arguments.get("do_sample", arguments["temperature"] > 0)
    most = arguments.get("max_new_tokens", arguments.get("max_tokens"))
    return greedy, arguments["repetition_penalty"], most


def _case(number: int, rng: Random) -> Case:
    task, size = TASKS[number % len(TASKS)], SIZES[number // len(TASKS) % len(SIZES)]
    noise = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    if task == "keypoint":
        return _keypoint_case(image, rng)
    phrases = rng.sample(PHRASES, rng.randint(1, 4))
    arguments: dict[str, Any] = {"categories": phrases}
    if task == "visual_prompting":
        phrases = ["object_1"]
        arguments = {"visual_prompt_boxes": [_box(image, rng) for _ in range(rng.randint(1, 3))]}
    elif task.startswith(("gui", "ocr")):
        phrases = phrases[:1]
        arguments = {"categories": phrases}
    instances = [_instance(p, task, image, rng) for p in phrases for _ in range(rng.randint(0, 4))]
    return Case(image, task, write(instances, image.size, phrases=phrases), arguments)


def _keypoint_case(image: Image.Image, rng: Random) -> Case:
    schema = SCHEMAS[rng.choice(["person", "animal"])]
    instances = [
        Instance(
            "person",
            bbox=_box(image, rng),
            keypoints={
                name: None if rng.random() < 0.3 else np.array(_point(image, rng))
                for name in schema.keypoints
            },
        )
        for _ in range(rng.randint(1, 3))
    ]
    arguments = {"categories": ["person"], "keypoint_type": schema.name}
    return Case(image, "keypoint", write_keypoints(instances, image.size), arguments)


def _instance(phrase: str, task: str, image: Image.Image, rng: Random) -> Instance:
    if "point" in task:
        return Instance(phrase, point=np.array(_point(image, rng)))
    if task == "ocr_polygon":
        return Instance(phrase, polygon=np.array([_point(image, rng) for _ in range(4)]))
    return Instance(phrase, bbox=np.array(_box(image, rng)))


def _point(image: Image.Image, rng: Random) -> tuple[float, float]:
    return rng.random() * image.width, rng.random() * image.height


def _box(image: Image.Image, rng: Random) -> list[float]:
    (x0, y0), (x1, y1) = _point(image, rng), _point(image, rng)
    return [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]


if __name__ == "__main__":
    with released_checkpoint() as saved:
        made = summary(public_run(Path(sys.argv[1]), saved, draw_cases(40)))
    Path(sys.argv[2]).write_text(json.dumps(made, indent=1) + "\n", "utf-8")
