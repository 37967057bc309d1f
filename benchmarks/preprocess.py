"""Preprocessing of a photograph to model input, against Pillow and the stock processor.

    python -m benchmarks.preprocess

A JPEG of 12 megapixels (4000 x 3000, made from noise of all scales) becomes the patches of Rex-Omni
(cells of 28 x 28 pixels, at most 2,560) in three ways: rexkit's (scaled decoding, resizing,
patches), Pillow's full decoding with the stock image processor of transformers, and the bare
minimum of scaled decoding and resizing. The three alternate, and medians are compared. The last
line is JSON: rexkit's time over the bare minimum's and over the stock one's, and the mean
difference of the pixels from those of full decoding, on a scale of 255.
"""

from __future__ import annotations

import io
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from rexkit._compat.transformers import Qwen2VLImageProcessorPil
from rexkit.formats.scaled_decoding import decode_resized
from rexkit.models.pixels import grid_size, stable_grid_size, to_patches
from rexkit.structures import ImageSize

SIZE = (4000, 3000)
ROUNDS = 15
PROCESSOR = Qwen2VLImageProcessorPil(
    size={"shortest_edge": 16 * 28 * 28, "longest_edge": 2560 * 28 * 28}
)


def photograph(size: ImageSize = SIZE, seed: int = 0) -> bytes:
    """Make a JPEG with detail of every scale that decreases as in photographs."""
    rng = np.random.default_rng(seed)
    noise = np.full((size[1], size[0], 3), 128, np.float32)
    for octave in range(2, 12):
        shape = (max(2, size[1] >> octave), max(2, size[0] >> octave), 3)
        noise = Image.fromarray(rng.integers(0, 256, shape, np.uint8))
        layer = np.asarray(noise.resize(size, Image.Resampling.BICUBIC), np.float32) - 128
        noise += layer * 0.08 * octave**0.5
    noise += rng.normal(0, 3, noise.shape)
    file = io.BytesIO()
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=92)
    return file.getvalue()


def ours(data: bytes) -> object:
    """Preprocess with rexkit."""
    image, _ = decode_resized(data, lambda size: stable_grid_size(size, PROCESSOR))
    return to_patches([image], PROCESSOR)


def stock(data: bytes) -> object:
    """Preprocess with Pillow and the processor of transformers."""
    with Image.open(io.BytesIO(data)) as image:
        return PROCESSOR(images=[image.convert("RGB")])


def bare(data: bytes) -> object:
    """Decode scaled and resize only."""
    size = grid_size(SIZE, PROCESSOR)
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, size)
        return image.resize(size, Image.Resampling.BICUBIC)


def main() -> None:
    """Print the times and ratios."""
    data = photograph()
    ways: dict[str, Callable[[bytes], object]] = {"rexkit": ours, "stock": stock, "bare": bare}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way(data)
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    for name in ways:
        print(f"{name:<8}{statistics.median(times[name]) * 1000:8.1f} ms")
    # Ratios within each round, so that other load affects all three.
    ratios = {
        other: statistics.median(a / b for a, b in zip(times["rexkit"], times[other], strict=True))
        for other in ("bare", "stock")
    }
    small, _ = decode_resized(data, lambda size: stable_grid_size(size, PROCESSOR))
    with Image.open(io.BytesIO(data)) as image:
        full = image.resize(small.size, Image.Resampling.BICUBIC)
    difference = np.abs(np.asarray(small, np.float32) - np.asarray(full, np.float32)).mean()
    print(
        json.dumps(
            {
                "over_bare": round(ratios["bare"], 3),
                "over_stock": round(ratios["stock"], 3),
                "mean_pixel_difference": round(float(difference), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
