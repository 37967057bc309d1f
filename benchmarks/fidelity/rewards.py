"""Rewards beside those of the public Rex-Omni code, on random responses.

For each of the three rewards of finetuning/verl/configs/reward_func.py, 500 random images of one to
four phrases get a random response: boxes and points that are right, near, doubled, missing, of
another phrase, of an absent phrase, inverted or without area, and ``None`` for some phrases. Both
read the text of the response with their own parser. In 100 more the text is cut off, as at a token
limit.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from rexkit.grammar import read
from rexkit.registry import REWARDS
from rexkit.structures import Annotation, Instance

REWARD_FILE = "finetuning/verl/configs/reward_func.py"
NAMES = ("box_iou", "point_in_box", "point_in_mask")
NUM_CASES, NUM_CUT = 500, 100
WORDS = ("cup", "red cup", "dog", "traffic light", "person", "C++ book")

Row = tuple[str, float, float, str]
"""What was compared, rexkit's value, that of the public code, and a note."""


@dataclass
class Case:
    """One image and the response to it.

    Attributes:
        target: the ground truth for rexkit.
        public_target: the same for the public code.
        text: the response.
    """

    target: Annotation
    public_target: dict[str, Any]
    text: str


def cases(name: str, number: int = NUM_CASES, seed: int = 0, cut: bool = False) -> list[Case]:
    """Draw cases for a reward.

    Args:
        name: of the reward.
        number: of cases.
        seed: of all that is random.
        cut: whether the texts are cut off.
    """
    return [_case(name, np.random.default_rng((seed, i, cut)), cut) for i in range(number)]


def rexkit_rewards(name: str, found: list[Case], variant: str) -> np.ndarray:
    """Return rexkit's rewards of some cases."""
    reward = REWARDS.get(name)
    return np.array([reward(_read(case), case.target, variant=variant) for case in found])


def public_rewards(public: ModuleType, found: list[Case]) -> np.ndarray:
    """Return the rewards of some cases by the public code."""
    scores = public.compute_score([c.text for c in found], [c.public_target for c in found])
    return np.array([score["overall"] for score in scores])


def load_public(public: Path) -> ModuleType:
    """Import the reward functions of a copy of the public repository.

    Raises:
        FileNotFoundError: they are not there.
    """
    path = public / REWARD_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; give a copy of IDEA-Research/Rex-Omni")
    spec = importlib.util.spec_from_file_location("public_reward_func", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reward_figures(public: Path) -> list[Row]:
    """Compare the rewards with those of the public code.

    Args:
        public: a copy of the repository IDEA-Research/Rex-Omni.

    Returns:
        For each reward: the mean over 500 cases with ``variant="rex_omni"``, with rexkit's default,
        and over 100 cases that are cut off.
    """
    module = load_public(public)
    rows: list[Row] = []
    for name in NAMES:
        whole, cut = cases(name), cases(name, NUM_CUT, cut=True)
        theirs, theirs_cut = public_rewards(module, whole), public_rewards(module, cut)
        ours = rexkit_rewards(name, whole, "rex_omni")
        default = rexkit_rewards(name, whole, "rexkit")
        ours_cut = rexkit_rewards(name, cut, "rex_omni")
        letter = f"{name}, variant rex_omni"
        rows += [
            _row(f"{letter}, mean of {len(whole)}", ours, theirs, ""),
            _row(f"{letter}, mean of {len(cut)} cut off", ours_cut, theirs_cut, ""),
            _row(f"{name}, default, mean of {len(whole)}", default, theirs, DEFAULT_NOTE),
        ]
    return rows


DEFAULT_NOTE = "absent phrases and None count, bins are divided by 999"


def _row(name: str, ours: np.ndarray, theirs: np.ndarray, note: str) -> Row:
    difference = np.abs(ours - theirs)
    said = f"largest difference {difference.max():.2g}, in {(difference > 1e-9).sum()} cases"
    return name, float(ours.mean()), float(theirs.mean()), "; ".join(filter(None, [said, note]))


def _read(case: Case) -> Any:
    return read(case.text, case.target.image_size)


def _case(name: str, rng: np.random.Generator, cut: bool) -> Case:
    size = (int(rng.integers(60, 400)), int(rng.integers(60, 400)))
    words = [WORDS[i] for i in rng.permutation(len(WORDS))[: int(rng.integers(1, 5))]]
    instances: list[Instance] = []
    answer: dict[str, Any] = {}
    absent = []
    for word in words:
        found = [_instance(word, name, size, rng) for _ in range(rng.choice([0, 1, 2, 3, 6]))]
        instances += found
        if not found:
            absent.append(word)
            continue
        answer[word] = {"boxes": [_list(i.bbox) for i in found]}
        if name != "box_iou":
            answer[word]["points"] = [_list(i.point) for i in found]
        if name == "point_in_mask":
            answer[word]["masks"] = [i.mask for i in found]
    text = ", ".join(
        _span(word, instances, name, size, rng) for word in words if rng.random() < 0.9
    )
    if cut:
        text = text[: int(rng.integers(0, len(text) + 1))]
    target = {
        "resized_image_size": list(size),
        "raw_image_size": list(size),
        "answer": answer,
        "reward_name": name,
        "dataset_name": "random",
    }
    return Case(Annotation(size, instances, absent), target, text)


def _instance(word: str, name: str, size: tuple[int, int], rng: np.random.Generator) -> Instance:
    corners = np.sort(rng.uniform(0, 1, (2, 2)), axis=0) * size
    if rng.random() < 0.5:
        corners = np.round(corners)  # as most annotations are, on the edges of pixels
    box = corners.ravel()
    mask = None
    if name == "point_in_mask":
        y, x = np.ogrid[: size[1], : size[0]]
        centre, radius = (corners[0] + corners[1]) / 2, np.maximum(corners[1] - corners[0], 2) / 2
        ellipse = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2 <= 1
        rle = coco_mask.encode(np.asfortranarray(ellipse, dtype=np.uint8))
        mask = {"size": list(rle["size"]), "counts": rle["counts"].decode()}
    return Instance(word, bbox=box, point=(box[:2] + box[2:]) / 2, mask=mask)


def _span(
    word: str,
    instances: list[Instance],
    name: str,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> str:
    """Write the response for one phrase, right and wrong."""
    source = [i for i in instances if i.phrase == word or rng.random() < 0.15]
    written: list[str] = []
    for instance in source:
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            assert instance.bbox is not None
            box = instance.bbox + rng.normal(0, rng.choice([0, 2, 10]), 4)
            if name != "box_iou":
                box = rng.uniform(np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:]) + 1)
            elif rng.random() < 0.05:
                box = box[[2, 3, 0, 1]]
            elif rng.random() < 0.05:
                box[2] = box[0]
            bins = np.clip(box / np.resize(size, len(box)), 0, 1) * 999
            written.append("".join(f"<{int(b)}>" for b in bins))
    said = "None" if not written or rng.random() < 0.05 else ",".join(written)
    if rng.random() < 0.05:
        word = rng.choice(WORDS)
    return f"<|object_ref_start|>{word}<|object_ref_end|><|box_start|>{said}<|box_end|>"


def _list(values: Any) -> list[float]:
    return [float(value) for value in values]
