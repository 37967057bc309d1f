"""Prompts, inputs and parsed responses: those of the public wrapper, without its code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.fidelity.inference import (
    SIZES,
    TASKS,
    cut_off,
    draw_cases,
    released_checkpoint,
    rexkit_run,
    summary,
)

# Written by `python -m benchmarks.fidelity.inference`, which runs rex_omni/wrapper.py of
# IDEA-Research/Rex-Omni at 478e44f; its tokenizer is that of the embedded model.
PUBLIC = json.loads(Path(__file__).with_name("public_wrapper.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def ours():
    with released_checkpoint() as folder:
        made = summary(rexkit_run(folder, draw_cases(len(PUBLIC))))
    return json.loads(json.dumps(made))


@pytest.mark.parametrize("number", range(len(PUBLIC)))
def test_a_question_is_that_of_the_public_wrapper(ours, number):
    found, public = ours[number], PUBLIC[number]
    mean, deviation, values = public.pop("pixels")
    assert found["pixels"][:2] == pytest.approx([mean, deviation], abs=1e-6)
    assert found.pop("pixels")[2] == pytest.approx(values, abs=1e-6)
    assert found == public


def test_the_cases_are_of_every_task_and_of_large_and_small_images():
    assert {record["task"] for record in PUBLIC} == set(TASKS)
    assert {tuple(record["resized_size"]) for record in PUBLIC} >= {(1624, 1204), (644, 476)}
    assert len(SIZES) * len(TASKS) > len(PUBLIC) > 4 * len(TASKS)
    assert sum(bool(record["extracted_predictions"]) for record in PUBLIC) > 30


def test_of_a_response_that_is_cut_off_whole_items_are_read():
    whole, cut = draw_cases(16), cut_off(draw_cases(16))
    with released_checkpoint() as folder:
        before, after = (rexkit_run(folder, asked).records for asked in (whole, cut))
    for one, other in zip(before, after, strict=True):
        for phrase, items in other["extracted_predictions"].items():
            known = one["extracted_predictions"][phrase]
            if one["task"] != "keypoint":
                assert items == known[: len(items)]
            assert len(items) <= len(known)
