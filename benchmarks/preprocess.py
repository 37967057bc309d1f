"""Preprocessing of a photograph to model input, against Pillow and the stock processor.

    python -m benchmarks.preprocess

A JPEG of 12 megapixels (4000 x 3000, made from noise of all scales) becomes the patches of Rex-Omni
(cells of 28 x 28 pixels, at most 2,560) in four ways: rexkit's (decoding, resizing, patches),
Pillow's decoding with the stock image processor of transformers, the bare minimum of decoding and
resizing, and rexkit's with decoding at half the size, which gives other pixels
(`benchmarks.jpeg_scales`). The four alternate, and medians are compared. The last line is JSON:
rexkit's time over the others', and the largest difference of its values from the stock ones.
"""

from __future__ import annotations

import io
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from rexkit._compat.transformers import Qwen2VLImageProcessorPil
from rexkit.formats import decode_image
from rexkit.models.pixels import grid_size, to_patches
from rexkit.structures import ImageSize

SIZE = (4000, 3000)
ROUNDS = 15
PROCESSOR = Qwen2VLImageProcessorPil(
    size={"shortest_edge": 16 * 28 * 28, "longest_edge": 2560 * 28 * 28}
)


def photograph(size: ImageSize = SIZE, seed: int = 0) -> bytes:
    """Make a JPEG with detail of every scale that decreases as in photographs."""
    rng = np.random.default_rng(seed)
    pixels = np.full((size[1], size[0], 3), 128, np.float32)
    for octave in range(2, 12):
        shape = (max(2, size[1] >> octave), max(2, size[0] >> octave), 3)
        noise = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
        layer = np.asarray(noise.resize(size, Image.Resampling.BICUBIC), np.float32) - 128
        pixels += layer * 0.08 * octave**0.5
    pixels += rng.normal(0, 3, pixels.shape)
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def ours(data: bytes) -> Any:
    """Preprocess with rexkit."""
    return to_patches([decode_image(data)], PROCESSOR)


def stock(data: bytes) -> Any:
    """Preprocess with Pillow and the processor of transformers."""
    with Image.open(io.BytesIO(data)) as image:
        return PROCESSOR(images=[image.convert("RGB")])


def bare(data: bytes) -> Any:
    """Decode and resize only."""
    with Image.open(io.BytesIO(data)) as image:
        return image.resize(grid_size(SIZE, PROCESSOR), Image.Resampling.BICUBIC)


def scaled(data: bytes) -> Any:
    """Preprocess with rexkit, but decode at the smallest size of libjpeg that is large enough."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, grid_size(SIZE, PROCESSOR))
        resized = image.resize(grid_size(SIZE, PROCESSOR), Image.Resampling.BICUBIC)
    return to_patches([resized], PROCESSOR)


def main() -> None:
    """Print the times and ratios."""
    data = photograph()
    functions = {"rexkit": ours, "stock": stock, "bare": bare, "scaled": scaled}
    ways: dict[str, Callable[[bytes], Any]] = functions
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way(data)
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    for name in ways:
        print(f"{name:<8}{statistics.median(times[name]) * 1000:8.1f} ms")
    # Ratios within each round, so that other load affects all of them.
    ratios = {
        other: statistics.median(a / b for a, b in zip(times["rexkit"], times[other], strict=True))
        for other in ("bare", "stock", "scaled")
    }
    difference = np.abs(ours(data)[0] - stock(data)["pixel_values"]).max()
    print(
        json.dumps(
            {
                "over_bare": round(ratios["bare"], 3),
                "over_stock": round(ratios["stock"], 3),
                "over_scaled": round(ratios["scaled"], 3),
                "largest_difference": round(float(difference), 6),
            }
        )
    )


if __name__ == "__main__":
    main()
