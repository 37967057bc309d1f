"""Training files, and what is learned from them, beside the public Rex-Omni fine-tuning code.

Rows of JSON and their images are converted by ``finetuning/tools/convert_json_data_to_tsv.py`` and
by rexkit's tool of that name, and the files of each are read by both, the public
``GroundingTSVDataset`` and `rexkit.datasets.TSVDataset`. Then both make training samples of the
same files, with the same question and the phrases in the same order.

    python -m benchmarks.fidelity.training PUBLIC

prints the `digest` that a test holds: of what the public code, of a checkout at PUBLIC, makes of
the first `NUM_HELD` of `drawn_images`.
"""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from mmengine.registry import Registry
from PIL import Image
from transformers import AutoProcessor

from benchmarks.fidelity.inference import released_checkpoint
from rexkit.cli.json_to_tsv_command import main as convert
from rexkit.datasets import CocoDataset, JsonlDataset, TSVDataset
from rexkit.datasets.row_dataset import RowDataset
from rexkit.formats.annotation_records import to_record
from rexkit.models import PretrainedVLM
from rexkit.models.checkpoint_settings import PUBLIC_CELLS, PUBLIC_SYSTEM_PROMPT
from rexkit.structures import Annotation, Instance
from rexkit.tasks import GroundingTask

Row = tuple[str, int, int, str]
"""What was compared, how many cases, how many differ, and a note."""


class Tensors(NamedTuple):
    """A training sample: token ids and labels (tokens,), patches, positions (3, 1, tokens)."""

    ids: torch.Tensor
    labels: torch.Tensor
    pixels: torch.Tensor
    positions: torch.Tensor


NAMES = {
    "ids": "token ids",
    "labels": "labels",
    "pixels": "pixel values, to 1e-6,",
    "positions": "position ids",
}

Labelled = tuple[Path, Annotation]

QUESTION = "Detect {phrases}. Output the bounding box coordinates in [x0, y0, x1, y1] format."
ABSENT = "zebra crossing"
"""A phrase that every record states as not in its image, with ``null`` for a box."""

OUTPUTS = ("images.tsv", "annotations.tsv", "annotations.tsv.lineidx")
PIXELS = tuple(cells * 28 * 28 for cells in PUBLIC_CELLS)

NUM_HELD = 8
QWEN_IDS = {"<|vision_start|>": 151652, "<|image_pad|>": 151655}

ID_NOTE = (
    "but for what the training code has and the public wrapper has not: a full stop at the end of "
    "the system prompt, line breaks before the question and after the response"
)


def training_rows(public: Path, coco: Iterable[Path] = (), jsonl: Iterable[Path] = ()) -> list[Row]:
    """Return the comparisons; see `Row`.

    Args:
        public: a checkout of the public repository.
        coco: COCO JSON files, whose images lie in a folder of their name beside them.
        jsonl: files that `JsonlDataset` reads.
    """
    sources: dict[str, RowDataset] = {
        **{file.stem: CocoDataset(file, file.with_suffix("")) for file in coco},
        **{file.stem: JsonlDataset(file) for file in jsonl},
    }
    rows = []
    with TemporaryDirectory() as folder, public_training(public) as dataset:
        sets = {"drawn": drawn_images(Path(folder))}
        sets |= {name: list(_labelled(source)) for name, source in sources.items()}
        for name, labelled in sets.items():
            rows += _compare(public, dataset, labelled, Path(folder, f"{name}.files"), name)
    return rows


def drawn_images(folder: Path, number: int = 48, seed: int = 0) -> list[Labelled]:
    """Write images of random boxes, no two of which begin in one column of bins."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(number):
        width, height = (int(side) for side in rng.integers(60, 900, 2))
        path = folder / f"{index}.{'jpg' if index % 2 else 'png'}"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path)
        instances = []
        for x0 in rng.choice(width - 10, int(rng.integers(1, 8)), replace=False):
            y0 = rng.uniform(0, height - 10)
            box = [x0, y0, rng.uniform(x0 + 5, width), rng.uniform(y0 + 5, height)]
            phrase = str(rng.choice(["cup", "red cup", "traffic light", "C++ book"]))
            instances.append(Instance(phrase, bbox=np.array(box)))
        made.append((path, Annotation((width, height), instances)))
    return made


def _labelled(dataset: RowDataset) -> Iterator[Labelled]:
    for row, sample in enumerate(dataset):
        path = dataset.load_row(row)[1]
        assert isinstance(path, Path)
        yield path, sample.annotation


@contextmanager
def public_training(public: Path) -> Iterator[Any]:
    """Import the public class ``GroundingTSVDataset``, for as long as the context lasts.

    Its package ``engine`` holds the trainer for GPUs as well; here it has the registry alone.
    """
    engine, registry = ModuleType("engine"), ModuleType("engine.registry")
    registry.BUILDER = Registry("builder")  # type: ignore[attr-defined]
    modules = {"ujson": json}
    for package in ("engine", "finetuning.engine"):
        modules |= {package: engine, f"{package}.registry": registry}
    path = [str(public / "finetuning"), str(public), *sys.path]
    with patch.dict(sys.modules, modules), patch.object(sys, "path", path):
        yield importlib.import_module("dataset").GroundingTSVDataset


def _compare(
    public: Path, dataset: Any, labelled: Sequence[Labelled], folder: Path, name: str
) -> Iterator[Row]:
    """Yield the rows of one set of images."""
    with_null = [(path, replace(a, absent=[*a.absent, ABSENT])) for path, a in labelled]
    records = [to_record(annotation) for _, annotation in with_null]
    folder.mkdir()
    theirs = write_tsv(with_null, folder / "public", public)
    ours = write_tsv(with_null, folder / "rexkit")
    # Every reader on the files of every converter.
    apart = [0, 0]
    for files in (theirs, ours):
        stored, plain = TSVDataset(*files), _PublicReader(dataset, files)
        for index, record in enumerate(records):
            sample, read, _ = stored.stored(index)
            image, other = plain.read(index)
            same_pixels = np.array_equal(np.asarray(sample.image), np.asarray(image))
            apart[0] += not read == other == record
            apart[1] += not same_pixels
    number = 2 * len(records)
    yield (
        f"{name}: records, null boxes included; both readers, both converters",
        number,
        apart[0],
        "",
    )
    yield f"{name}: images; both readers, both converters", number, apart[1], ""
    if all(i.bbox is not None for _, annotation in labelled for i in annotation.instances):
        yield from _samples(dataset, ours, name)


def write_tsv(labelled: Sequence[Labelled], folder: Path, public: Path | None = None) -> list[Path]:
    """Write images and records to TSV files by rexkit's tool, or the public one.

    Args:
        labelled: the images, and their annotations.
        folder: where the files are written.
        public: a checkout of the public repository, whose tool is used.

    Returns:
        The three files.
    """
    folder.mkdir(exist_ok=True)
    rows, files = folder / "rows.jsonl", [folder / output for output in OUTPUTS]
    with rows.open("w", encoding="utf-8") as file:
        for path, annotation in labelled:
            line = {"image_name": str(path.resolve()), "annotation": to_record(annotation)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    words = ["--json_file", str(rows), "--image_root_path", "/"]
    flags = ("--save_image_tsv_path", "--save_ann_tsv_path", "--save_ann_lineidx_path")
    for flag, output in zip(flags, files, strict=True):
        words += [flag, str(output)]
    if public is not None:
        tool = public / "finetuning/tools/convert_json_data_to_tsv.py"
        subprocess.run([sys.executable, str(tool), *words], check=True, capture_output=True)
    elif convert(words) != 0:
        raise RuntimeError(f"the conversion failed on {rows}")
    return files


class _PublicReader:
    """The public dataset of some files, with the embedded model's processor."""

    def __init__(self, dataset: Any, files: Sequence[Path], processor: Any = None):
        class Boxes(dataset):  # type: ignore[misc]
            def convert_raw_data(self, image: Any, record: dict[str, Any]) -> Any:
                # The public code has no use for null, and stops there.
                record["boxes"] = [box for box in record["boxes"] if box["bbox"] is not None]
                return super().convert_raw_data(image, record)

        grounding = importlib.import_module("dataset.task_fns").GroundingTaskFn
        least, most = PIXELS
        template = QUESTION.replace("{phrases}", "[OBJ]")
        images = processor and processor.image_processor
        self.dataset = Boxes(
            *map(str, files),
            tokenizer=processor and _Tokenizer(processor.tokenizer),
            data_args=SimpleNamespace(
                model_type="qwen2.5vl", image_processor=images or SimpleNamespace(size={})
            ),
            image_min_pixels=least,
            image_max_pixels=most,
            task_fn={
                "type": grounding,
                "task_prompts": [template],
                "image_min_pixels": least,
                "image_max_pixels": most,
            },
            system_message=PUBLIC_SYSTEM_PROMPT,
        )
        if processor:
            self.dataset.get_rope_index = partial(
                _rope_index, self.dataset.get_rope_index, processor.tokenizer
            )

    def read(self, row: int) -> tuple[Image.Image, dict[str, Any]]:
        """Return the image and the record of a row."""
        found: tuple[Image.Image, dict[str, Any]] = self.dataset.load_image_and_anno(row)
        return found

    def sample(self, row: int) -> dict[str, Any]:
        """Return the training sample of a row, with its phrases in the order of the record."""
        with patch.object(random, "random", return_value=0.0):
            found: dict[str, Any] = self.dataset[row]
        return found


class _Tokenizer:
    """A tokenizer whose chat template returns ids, as it did in transformers 4."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self.chat_template = ""

    def apply_chat_template(self, messages: Any) -> list[int]:
        ids: list[int] = self.tokenizer.apply_chat_template(
            messages, chat_template=self.chat_template, return_dict=False
        )
        return ids


def our_samples(files: Sequence[Path]) -> Iterator[Tensors]:
    """Yield the training samples that rexkit makes of files, without absent phrases."""
    task = GroundingTask([QUESTION], shuffle_categories=False, left_to_right=True)
    with released_checkpoint() as folder:
        vlm = PretrainedVLM(folder, min_pixels=PIXELS[0], max_pixels=PIXELS[1])
    for sample in TSVDataset(*files):
        seen = replace(sample, annotation=replace(sample.annotation, absent=[]))
        batch = vlm.encoder.examples([task.example(seen, np.random.default_rng(0), True)])
        positions, _ = vlm.model.model.get_rope_index(
            batch["input_ids"],
            image_grid_thw=batch["image_grid_thw"],
            mm_token_type_ids=batch["mm_token_type_ids"],
        )
        yield Tensors(batch["input_ids"][0], batch["labels"][0], batch["pixel_values"], positions)


def public_samples(dataset: Any, files: Sequence[Path]) -> Iterator[Tensors]:
    """Yield those of the public code, without the line breaks of `ID_NOTE`."""
    with released_checkpoint() as folder:
        processor = AutoProcessor.from_pretrained(folder)
    reader, tokenizer = _PublicReader(dataset, files, processor), processor.tokenizer
    (line_break,) = tokenizer("\n", add_special_tokens=False).input_ids
    for row in range(len(reader.dataset)):
        sample = reader.sample(row)
        ids = sample["input_ids"]
        ends = (ids == tokenizer.convert_tokens_to_ids("<|vision_end|>")).nonzero()[0].item()
        breaks = [int(ends) + 1, len(ids) - 1]
        assert ids[breaks].tolist() == [line_break, line_break]
        kept = torch.ones(len(ids), dtype=torch.bool)
        kept[breaks] = False
        # The line break before the question moves the positions of what follows it by one.
        positions = sample["position_ids"][..., kept] - (kept.cumsum(0)[kept] > breaks[0]).long()
        yield Tensors(ids[kept], sample["labels"][kept], sample["pixel_values"], positions)


def digest(samples: Iterable[Tensors]) -> str:
    """Return a digest of the token ids, labels and positions of samples."""
    found = sha256()
    for sample in samples:
        for tensor in (sample.ids, sample.labels, sample.positions):
            found.update(json.dumps(tensor.tolist()).encode())
    return found.hexdigest()


def _samples(dataset: Any, files: Sequence[Path], name: str) -> Iterator[Row]:
    """Compare the tensors of training samples."""
    pairs = list(zip(our_samples(files), public_samples(dataset, files), strict=True))
    tied = sum(
        not torch.equal(ours.ids, theirs.ids)
        and torch.equal(ours.ids.sort().values, theirs.ids.sort().values)
        for ours, theirs in pairs
    )
    notes = {"ids": ID_NOTE}
    if tied:
        tie_note = f"{tied} by the order of boxes that begin in one bin"
        notes = {"ids": f"{ID_NOTE}; {tie_note}", "labels": tie_note}
    for field, what in NAMES.items():
        apart = sum(not _same(getattr(a, field), getattr(b, field)) for a, b in pairs)
        yield f"{name}: {what} of training samples", len(pairs), apart, notes.get(field, "")


def _same(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return ours.shape == theirs.shape and bool((ours - theirs).abs().max() <= 1e-6)


def _rope_index(public: Any, tokenizer: Any, merge_size: int, ids: torch.Tensor, grids: Any) -> Any:
    """Call the public function with the numbers that the tokens of images have in Qwen's files."""
    for token, number in QWEN_IDS.items():
        ids = ids.where(ids != tokenizer.convert_tokens_to_ids(token), number)
    return public(merge_size, ids, grids)


def main() -> None:
    """Print the digest that the tests hold."""
    with TemporaryDirectory() as folder, public_training(Path(sys.argv[1])) as dataset:
        files = write_tsv(drawn_images(Path(folder), NUM_HELD), Path(folder))
        print(digest(public_samples(dataset, files)))


if __name__ == "__main__":
    main()
