"""The questions and figures of the public evaluation set, by the public scripts and by rexkit.

    python -m benchmarks.fidelity.evaluation PUBLIC

PUBLIC is a checkout of https://github.com/IDEA-Research/Rex-Omni. A small set in the public layout
is drawn; both sides get the same file and the same response to each question. The public inference
and metric scripts run as they are, except for the model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.fidelity.coco_evaluation_figures import (
    drawn_coco_set,
    our_coco_figures,
    public_coco_figures,
)
from benchmarks.fidelity.evaluation_rows import EvaluationSet, coco_set, evaluation_set, row_of
from benchmarks.fidelity.public_evaluation import (
    public_functions,
    public_metrics,
    run_inference,
)
from rexkit.datasets import RexOmniEvalDataset
from rexkit.metrics import RexOmniF1
from rexkit.registry import PARSERS, TASK_FNS
from rexkit.structures import Example

Figure = tuple[str, float, float]
"""The name of a figure, rexkit's value and the public one."""

NUMBER, SEED = 60, 1

BOX_QUESTION = "Detect {phrases}. Output the bounding box coordinates in [x0, y0, x1, y1] format."
POINT_QUESTION = "point to {phrases}."
OCR_BOX_QUESTION = (
    "Can you detect all the {phrases} in this image in box format like [x0, y0, x1, y1] and then "
    "recognize them?"
)
OCR_POLYGON_QUESTION = (
    "Can you detect all the {phrases} in this image in polygon format like "
    "[x0, y0, x1, y1, x2, y2 ...] and then recognize them?"
)
VISUAL_QUESTION = (
    "Given reference boxes {references} indicating one or more objects, find all objects with the "
    "same category in the image and output their bounding boxes in [x0, y0, x1, y1] format."
)

BY_SCRIPT = {
    **dict.fromkeys(
        (
            *("common_object_detection", "long_tailed_object_detection", "dense_object_detection"),
            *("referring_object_detection", "layout_detection", "hallucination", "gui"),
        ),
        ("GroundingTask", BOX_QUESTION),
    ),
    **dict.fromkeys(("pointing", "pointing_referring"), ("PointingTask", POINT_QUESTION)),
}
"""Tasks that the public script for text prompts can parse, with how rexkit asks for them."""

BY_RECORD = {
    "keypoint": ("KeypointTask", None),
    "task4_detect_all_in_polygon": ("OCRPolygonTask", OCR_POLYGON_QUESTION),
    "task2_detect_all_in_polygon_and_recog": ("OCRPolygonTask", OCR_POLYGON_QUESTION),
}
"""Tasks whose responses the public script does not parse: it reads no JSON, and cuts polygons into
boxes. Its metric gets what a whole response says."""

VISUAL = "visual_prompt_detection"
TASKS = (*BY_SCRIPT, *BY_RECORD, VISUAL)


def evaluation_figures(public: Path) -> list[Figure]:
    """Compare every figure of the public evaluation, and the questions.

    Args:
        public: a checkout of the public repository.

    Returns:
        A row for each figure of each task; "questions" are the numbers of different questions of
        rexkit and of the public script, of which all must be the same: the first value counts
        those that are.
    """
    with TemporaryDirectory() as folder:
        return [
            figure
            for task_name in TASKS
            for figure in _figures(public, evaluation_set(task_name, NUMBER, SEED), Path(folder))
        ] + [*_ocr_questions(public, Path(folder)), *_coco_figures(public, Path(folder))]


def real_figures(public: Path, coco_file: Path) -> list[Figure]:
    """Return the figures of the images of a COCO file, as `evaluation_figures` does."""
    with TemporaryDirectory() as folder:
        return _figures(public, coco_set(coco_file, SEED), Path(folder))


def our_figures(made: EvaluationSet, folder: Path, **options: Any) -> dict[str, float]:
    """Return rexkit's figures of a set, without the public code.

    Args:
        made: the rows and responses.
        folder: where the file and the images are written.
        options: arguments of `RexOmniF1`.
    """
    metric = RexOmniF1(**options)
    for example, text in examples_of(made, folder):
        metric.add(_parse(example, text), example.target)
    return {name.removeprefix("rexomni_"): value for name, value in metric.compute().items()}


def examples_of(made: EvaluationSet, folder: Path) -> Iterable[tuple[Example, str]]:
    """Yield the examples of a set as `rexkit test` makes them, with their responses."""
    file = made.write(folder, _eval_type(made.task_name), made.task_name)
    data, task = RexOmniEvalDataset(file), _task(made.task_name)
    for index in range(len(data)):
        example = task.example(data[index], np.random.default_rng(0), False)
        category = example.phrases[0] if made.task_name == VISUAL else ""
        yield example, made.responses[row_of(example.image), category]


def _figures(public: Path, made: EvaluationSet, folder: Path) -> list[Figure]:
    name = made.task_name
    ours = our_figures(made, folder)
    file = folder / "annotations" / _eval_type(name) / f"{name}.jsonl"
    examples = list(examples_of(made, folder))
    if name in BY_RECORD:
        return _rows(name, ours, public_metrics(public, _records(public, examples, name)))
    asked: list[str] = []

    def answer(image: Image.Image, prompt: str) -> str:
        asked.append(prompt)
        return _response(made, row_of(image), prompt)

    if name == VISUAL:
        records = run_inference(public, "inference_visual_prompt", answer, file, folder)
        # As the script writes them, without the name of a task, they are scored as referring.
        plain = our_figures(made, folder, task_name="referring_object_detection")
        rows = _rows(f"{name} as written", plain, public_metrics(public, records))
        named = [{**record, "task_name": name} for record in records]
    else:
        question = f"--question={BY_SCRIPT[name][1].replace('{phrases}', '[OBJ]')}"
        named = run_inference(public, "inference_text_prompt", answer, file, folder, question)
        rows = []
    rows += _rows(name, ours, public_metrics(public, named))
    return [*rows, _same_questions(name, [e.prompt for e, _ in examples], asked)]


def _ocr_questions(public: Path, folder: Path) -> list[Figure]:
    """Compare the questions of OCR, whose responses the script parses but its metric does not."""
    figures = []
    for task, template in (
        ("OCRBoxTask", OCR_BOX_QUESTION),
        ("OCRPolygonTask", OCR_POLYGON_QUESTION),
    ):
        made = evaluation_set("task2_detect_all_in_polygon_and_recog", NUMBER, SEED)
        file = made.write(folder, "box_eval", task)
        data = RexOmniEvalDataset(file)
        asker = TASK_FNS.build({"type": task, "templates": [template]})
        ours = [asker.example(s, np.random.default_rng(0), False).prompt for s in data]  # type: ignore[attr-defined]
        asked: list[str] = []

        def answer(image: Image.Image, prompt: str, asked: list[str] = asked) -> str:
            asked.append(prompt)
            return ""

        question = f"--question={template.replace('{phrases}', '[OBJ]')}"
        run_inference(public, "inference_text_prompt", answer, file, folder, question)
        figures.append(_same_questions(task, ours, asked))
    return figures


def _coco_figures(public: Path, folder: Path) -> list[Figure]:
    figures = []
    for name, lvis in (("COCO", False), ("LVIS", True)):
        file, records = drawn_coco_set(folder, lvis, NUMBER, SEED)
        ours = our_coco_figures(file, records, lvis)
        figures += _rows(name, ours, public_coco_figures(public, file, records, lvis, folder))
    return figures


def _same_questions(name: str, ours: list[str], theirs: list[str]) -> Figure:
    same = sum(a == b for a, b in zip(ours, theirs, strict=False))
    return f"{name}: questions", float(same), float(max(len(ours), len(theirs)))


def _rows(name: str, ours: Mapping[str, float], theirs: Mapping[str, float]) -> list[Figure]:
    """Return the figures that the public side has."""
    once = {key.partition("@")[0]: value for key, value in ours.items()}
    return [
        (f"{name}: {key}", ours.get(key, once.get(key.partition("@")[0], np.nan)), value)
        for key, value in theirs.items()
    ]


def _records(
    public: Path, examples: list[tuple[Example, str]], task_name: str
) -> list[dict[str, Any]]:
    """Return public records of the responses, with the row's ground truth and task."""
    read_keypoints = public_functions(public)["parse_keypoint_prediction"]
    records = []
    for example, text in examples:
        prediction = _parse(example, text)
        found: Any = {phrase: [] for phrase in prediction.phrases}
        for instance in prediction.instances:
            if instance.polygon is not None:
                found[instance.phrase].append(instance.polygon.ravel().tolist())
        if task_name == "keypoint":
            # What the public parser reads, without the text on which the public metric fails.
            found = {
                phrase: [{**item, "keypoints": _visible(item["keypoints"])} for item in items]
                for phrase, items in read_keypoints(text, *example.target.image_size).items()
            }
        row = {"task_name": task_name, "dataset_name": "drawn"}
        records.append({**row, "gt": example.target.extra["gt"], "extracted_predictions": found})
    return records


def _visible(keypoints: Mapping[str, Any]) -> dict[str, Any]:
    return {name: xy for name, xy in keypoints.items() if xy != "unvisible"}


def _parse(example: Example, text: str) -> Any:
    transcribed = {"transcription": "phrase"} if example.task.startswith("ocr") else {}
    return PARSERS.build({"type": "SpanParser", **transcribed})(text, example.target.image_size)


def _response(made: EvaluationSet, row: int, prompt: str) -> str:
    of_row = {
        category: text for (number, category), text in made.responses.items() if number == row
    }
    if made.task_name != VISUAL:
        return of_row[""]
    category = prompt.split('{"')[1].split('"')[0].encode().decode("unicode_escape")
    return of_row[category]


def _eval_type(task_name: str) -> str:
    if task_name == VISUAL:
        return "visual_prompt_eval"
    return "point_eval" if task_name.startswith("pointing") else "box_eval"


def _task(task_name: str) -> Any:
    if task_name == VISUAL:
        cfg: dict[str, Any] = {"type": "VisualPromptTask", "reference_style": "evaluation"}
        return TASK_FNS.build({**cfg, "templates": [VISUAL_QUESTION]})
    kind, template = (BY_SCRIPT | BY_RECORD)[task_name]
    return TASK_FNS.build({"type": kind, **({"templates": [template]} if template else {})})


if __name__ == "__main__":
    figures = evaluation_figures(Path(sys.argv[1]))
    for title, own, other in figures:
        print(f"{title:60} {own:<22} {other:<22} {abs(own - other):.1e}")
    print("largest difference:", max(abs(own - other) for _, own, other in figures))
