"""How far JPEG files decoded at a smaller scale are from those decoded in full.

    python -m benchmarks.jpeg_scales [FILES OR FOLDERS]

libjpeg can decode at a half, a quarter or an eighth of the size (Pillow's ``draft``), which saves
time. Each file, by default two random ones of all scales of detail, is decoded at each scale and in
full, and both are resized bicubically to the same sizes. The table has the mean and the largest
difference of a file, in levels of 255, by how many times larger than needed the decoded image is.
The last line is JSON: the number of files, the largest difference at each margin, and the smallest
margin of those measured at which every file differs by less than a level.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.preprocess import photograph

SCALES = (2, 4, 8)
MARGINS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
SMALLEST = 8  # pixels: resized images with a shorter side are left out


def differences(data: bytes) -> dict[float, float]:
    """Return the largest difference of a file over all scales, by margin."""
    found: dict[float, float] = {}
    full = _decode(data, 1)
    width, height = full.size
    for scale in SCALES:
        scaled = _decode(data, scale)
        # The last row and column may stand for less than ``scale`` pixels of the file.
        part = (0, 0, width / scale, height / scale)
        for margin in MARGINS:
            size = (round(width / scale / margin), round(height / scale / margin))
            if min(size) < SMALLEST:
                continue
            images = (
                full.resize(size, Image.Resampling.BICUBIC),
                scaled.resize(size, Image.Resampling.BICUBIC, box=part),
            )
            whole, half = (np.asarray(image, np.float32) for image in images)
            found[margin] = max(found.get(margin, 0.0), float(np.abs(whole - half).mean()))
    return found


def main() -> None:
    """Print the table and the results."""
    files = [data for path in map(Path, sys.argv[1:]) for data in _jpegs(path)]
    found = [differences(data) for data in files or [photograph((1600, 1200), s) for s in (0, 1)]]
    largest = {}
    print(f"{'margin':<10}{'mean':>8}{'largest':>10}   (levels of 255, {len(found)} files)")
    for margin in MARGINS:
        values = [by_margin[margin] for by_margin in found if margin in by_margin]
        largest[margin] = round(max(values), 2)
        print(f"{margin:<10g}{np.mean(values):>8.2f}{max(values):>10.2f}")
    enough = [margin for margin, value in largest.items() if value < 1]
    record: dict[str, object] = {"files": len(found)}
    record |= {f"largest_at_{margin:g}": value for margin, value in largest.items()}
    print(json.dumps({**record, "margin_below_one_level": enough[0] if enough else None}))


def _jpegs(path: Path) -> list[bytes]:
    """Return the colour JPEG files at a path."""
    files = sorted(path.rglob("*.jp*g")) if path.is_dir() else [path]
    found = []
    for file in files:
        with Image.open(file) as image:
            if image.format == "JPEG" and image.mode == "RGB":
                found.append(file.read_bytes())
    return found


def _decode(data: bytes, scale: int) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))
    image.load()
    return image


if __name__ == "__main__":
    main()
