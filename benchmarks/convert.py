"""Throughput of `rexkit convert`, beside a bare copy of the same image files.

    python -m benchmarks.convert

The data set is COCO JSON: 1,000 JPEG images of 640x480, 130 kB each, with 12 boxes each. It is
copied image by image, as a loop over `shutil.copyfile` does, and converted to each of some formats
with one process, the two after each other, several times. A value is the median ratio of the times,
conversion over copy: reading, checking and writing the annotations is in it, and for TSV and
Parquet the writing of the images into one file. "link" makes hard links in place of copies, and
"two" has two processes. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from rexkit.conversion import convert, find_format

SIZE = (640, 480)
IMAGES, BOXES, KINDS = 1000, 12, 20
TARGETS = {
    "yolo": ("yolo", 1, False),
    "yolo_link": ("yolo", 1, True),
    "yolo_two": ("yolo", 2, False),
    "coco": ("coco", 1, False),
    "voc": ("voc", 1, False),
    "jsonl": ("jsonl", 1, False),
    "tsv": ("rexomni-tsv", 1, False),
    "parquet": ("parquet", 1, False),
}
ROUNDS = 3


def make_source(folder: Path) -> None:
    """Write the data set: COCO JSON and a folder of images."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (SIZE[1] // 8, SIZE[0] // 8, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC), np.int16)
    images, annotations = [], []
    (folder / "images").mkdir(parents=True)
    for number in range(IMAGES):
        name = f"{number:06d}.jpg"
        pixels = np.clip(smooth + rng.integers(-24, 24, smooth.shape, np.int16), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / name, quality=85)
        images.append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        for _ in range(BOXES):
            x, y, w, h = rng.uniform([0, 0, 8, 8], [320, 240, 320, 240]).round(2).tolist()
            box = {"image_id": number, "bbox": [x, y, w, h], "iscrowd": 0, "area": w * h}
            kind = int(rng.integers(KINDS))
            annotations.append({"id": len(annotations), "category_id": kind, **box})
    categories = [{"id": kind, "name": f"object {kind}"} for kind in range(KINDS)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "train.json").write_text(json.dumps(data))


def copy_files(source: Path, target: Path) -> None:
    """Copy the images, one after the other."""
    target.mkdir()
    for entry in os.scandir(source / "images"):
        shutil.copyfile(entry.path, target / entry.name)


def convert_to(name: str, workers: int, link: bool, source: Path, target: Path) -> None:
    """Convert the data set, as the command does."""
    _, form, _ = find_format(source)
    _, found, _ = find_format(source, name)
    splits = form.open(source, source / "images")
    report = convert(splits, found.writer(target, [*splits]), "benchmark", workers, link)
    assert sum(report.rows.values()) == IMAGES


def seconds(call: Callable[[Path], object], folder: Path) -> float:
    """Return the time of a call that writes a new folder, which is removed."""
    target = folder / "target"
    os.sync()  # what was written before is not written meanwhile
    start = time.perf_counter()
    call(target)
    taken = time.perf_counter() - start
    shutil.rmtree(target)
    return taken


def main() -> None:
    """Print the table and the results."""
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source"
        make_source(source)
        size = sum(file.stat().st_size for file in (source / "images").iterdir()) / IMAGES
        print(f"{IMAGES} images of {size / 1000:.0f} kB, {BOXES} boxes each")
        # Files into the page cache, modules into memory.
        seconds(lambda target: copy_files(source, target), folder)
        seconds(lambda target: convert_to("parquet", 1, False, source, target), folder)
        copies: list[float] = []
        for key, (to, workers, link) in TARGETS.items():
            ratios, times = [], []
            for _ in range(ROUNDS):
                copies.append(seconds(lambda target: copy_files(source, target), folder))
                times.append(
                    seconds(lambda t, a=(to, workers, link): convert_to(*a, source, t), folder)
                )
                ratios.append(times[-1] / copies[-1])
            results[f"{key}_over_copy"] = round(statistics.median(ratios), 2)
            rate = IMAGES / statistics.median(times)
            print(f"{key:<10}{rate:>8.0f} images/s{results[f'{key}_over_copy']:>8} x copy")
        results["copy_images_per_s"] = round(IMAGES / statistics.median(copies))
        print(f"copy      {results['copy_images_per_s']:>8} images/s")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
