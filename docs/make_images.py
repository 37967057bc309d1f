"""Make the images of the README: predictions of the embedded model, drawn by the project itself.

    python docs/make_images.py --train     # fine-tune the model, into work_dirs/readme
    python docs/make_images.py --predict   # test it, copy the records that are drawn, draw them
    python docs/make_images.py             # draw the records in docs/images
    python docs/make_images.py --check     # exit with 1 if that gives other images

The last two need no model and no torch: the records are in docs/images/predictions.jsonl, and the
test images of docs/readme_model.py come from a seed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image, ImageDraw, ImageFont

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
# The plugin need not be installed, and the config imports `cells_dataset` from this folder.
sys.path[:0] = [str(DOCS), str(ROOT / "plugins" / "rexkit-plugin-gui")]

from rexkit import Annotation  # noqa: E402
from rexkit.examples import ExampleDataset, build_examples  # noqa: E402
from rexkit.formats.predictions import PredictionRecord, read_predictions  # noqa: E402
from rexkit.structures import Example  # noqa: E402
from rexkit.visualizers import PillowVisualizer  # noqa: E402

CONFIG = DOCS / "readme_model.py"
IMAGES = DOCS / "images"
WORK_DIR = ROOT / "work_dirs" / "readme"
RECORDS = "predictions.jsonl"
COMMAND = "python docs/make_images.py"

PANEL, GAP = 512, 24
PAPER, INK, GREY, RED = (255, 255, 255), (30, 30, 30), (105, 105, 105), (176, 60, 50)
TITLE_SIZE, TEXT_SIZE, TEXT_LINES = 30, 23, 4

TOLERANCE = 24
"""How far a channel of a pixel may be from the committed one, of 255."""
FEW = 0.002
"""Share of pixels that may be further away: letters differ between versions of FreeType."""


@dataclass(frozen=True)
class Panel:
    """One panel: a test example and what is drawn of it.

    Attributes:
        index: Of the example in the config's ``test_data``.
        title: The first line below the panel.
        shown: "prediction", or "references" for the boxes of a visual prompt.
    """

    index: int
    title: str
    shown: str = "prediction"


def _row(title: str, *indices: int) -> list[list[Panel]]:
    return [[Panel(index, title) for index in indices]]


# Rows of panels of each image.
PAGES: Mapping[str, Sequence[Sequence[Panel]]] = {
    "hero": [
        [Panel(0, "Grounding"), Panel(97, "Blood cells"), Panel(126, "GUI grounding")],
        [Panel(48, "Keypoints"), Panel(92, "OCR"), Panel(19, "Pointing")],
    ],
    "grounding": _row("GroundingTask", 15, 103),
    "pointing": _row("PointingTask", 22, 28),
    "visual_prompt": [
        [Panel(45, "Reference", "references"), Panel(45, "VisualPromptTask")],
    ],
    "keypoints": _row("KeypointTask", 59, 62),
    "ocr_box": _row("OCRBoxTask", 74, 64),
    "ocr_polygon": _row("OCRPolygonTask", 87, 82),
    "gui": [[Panel(125, "GUIGroundingTask"), Panel(129, "GUIPointingTask")]],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stage that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", action="store_true", help="fine-tune the model")
    parser.add_argument("--predict", action="store_true", help="test the model, then draw")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--checkpoint", type=Path, default=WORK_DIR / "final")
    parser.add_argument("--images", type=Path, default=IMAGES, help="where images and records are")
    options = parser.parse_args(arguments)
    if options.train:
        _rexkit("train", str(CONFIG), "--work-dir", str(WORK_DIR))
        return
    if options.predict:
        results = WORK_DIR / "test"
        _rexkit("test", str(CONFIG), str(options.checkpoint), "--work-dir", str(results))
        keep_records(results, options.images / RECORDS)
    pages = draw_pages(options.images / RECORDS)
    if options.check:
        if changed := [
            name for name, page in pages.items() if _differs(options.images, name, page)
        ]:
            sys.exit(
                f"{', '.join(changed)}: drawn today, docs/images looks different; look at what "
                f"`{COMMAND}` draws and commit it"
            )
        return
    for name, page in pages.items():
        page.save(options.images / f"{name}.png", optimize=True)


def keep_records(results: Path, file: Path) -> None:
    """Copy the records of the panels from the results of a test to one file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shown = {panel.index for rows in PAGES.values() for row in rows for panel in row}
    lines: dict[int, str] = {}
    for found in sorted(results.glob(f"*/*/{RECORDS}")):
        texts = found.read_text("utf-8").splitlines(keepends=True)
        for record, line in zip(read_predictions(found), texts, strict=True):
            if record.index in shown:
                lines[record.index] = line
    file.write_text("".join(lines[index] for index in sorted(shown)), "utf-8")


def draw_pages(file: Path) -> dict[str, Image.Image]:
    """Return every image of the README by its name, drawn from a file of records."""
    # `rexkit.config.load_config` would check the model and the trainer too, which takes torch.
    config = Config.fromfile(str(CONFIG))
    examples = build_examples(config.test_data, "test_data", config.seed, False)
    records = {record.index: record for record in read_predictions(file)}
    return {
        name: _page(
            [[_panel(panel, records[panel.index], examples) for panel in row] for row in rows]
        )
        for name, rows in PAGES.items()
    }


def _rexkit(*words: str) -> None:
    """Run a command of rexkit where the config finds what it imports."""
    path = os.pathsep.join([*sys.path[:2], str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "rexkit.cli", *words]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": path})


def _panel(panel: Panel, record: PredictionRecord, examples: ExampleDataset) -> Image.Image:
    """The image of an example with what is shown of it, and a caption below."""
    example: Example = examples[panel.index]
    if (example.source, example.prompt) != (record.source, record.prompt):
        sys.exit(f"example {panel.index} of {CONFIG.name} has changed; run `{COMMAND} --predict`")
    assert record.prediction is not None  # a test has no record of an image it could not use
    shown: Annotation = record.prediction
    if panel.shown == "references":
        given = [
            replace(i, point=None) for i in example.target.instances if i.extra.get("reference")
        ]
        shown = replace(example.target, instances=given, absent=())
    image = example.image.resize((PANEL, PANEL), Image.Resampling.LANCZOS)
    drawn = PillowVisualizer(line_width=5, font_size=28).draw(image, shown)
    return _stack([drawn, _caption(panel.title, record.prompt, shown.absent)], gap=10)


def _caption(title: str, prompt: str, absent: Sequence[str]) -> Image.Image:
    """Title, prompt, and the phrases that the model reports as absent."""
    font = ImageFont.load_default(TEXT_SIZE)
    lines = [(line, GREY) for line in _wrap(prompt, font)]
    if absent:
        lines += [(line, RED) for line in _wrap(f"None: {', '.join(absent)}", font)]
    step = TEXT_SIZE + 7
    caption = Image.new("RGB", (PANEL, TITLE_SIZE + 12 + TEXT_LINES * step), PAPER)
    drawing = ImageDraw.Draw(caption)
    drawing.text((0, 0), title, INK, ImageFont.load_default(TITLE_SIZE), stroke_width=0.4)
    for number, (line, color) in enumerate(lines[:TEXT_LINES]):
        drawing.text((0, TITLE_SIZE + 12 + number * step), line, color, font)
    return caption


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """A text in lines as wide as a panel, with an ellipsis where it needs more than there are."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(f"{longer} …") <= PANEL:
            lines[-1] = longer
        elif len(lines) == TEXT_LINES:
            lines[-1] += " …"
            break
        else:
            lines.append(word)
    return lines


def _page(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    page = _stack([_stack(row, GAP, across=True) for row in rows], GAP)
    framed = Image.new("RGB", (page.width + 2 * GAP, page.height + 2 * GAP), PAPER)
    framed.paste(page, (GAP, GAP))
    return framed


def _stack(images: Sequence[Image.Image], gap: int, across: bool = False) -> Image.Image:
    """Images beside each other, or below each other."""
    widths, heights = zip(*(image.size for image in images), strict=True)
    spaces = gap * (len(images) - 1)
    if across:
        sheet = Image.new("RGB", (sum(widths) + spaces, max(heights)), PAPER)
    else:
        sheet = Image.new("RGB", (max(widths), sum(heights) + spaces), PAPER)
    at = 0
    for image in images:
        sheet.paste(image, (at, 0) if across else (0, at))
        at += gap + (image.width if across else image.height)
    return sheet


def _differs(folder: Path, name: str, page: Image.Image) -> bool:
    file = folder / f"{name}.png"
    if not file.is_file():
        return True
    with Image.open(file) as committed:
        if committed.size != page.size:
            return True
        there = np.asarray(committed.convert("RGB"), dtype=np.int16)
    far = np.abs(there - np.asarray(page, dtype=np.int16)).max(axis=2) > TOLERANCE
    return bool(far.mean() > FEW)


if __name__ == "__main__":
    main()
