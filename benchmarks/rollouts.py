"""Rollouts of a GRPO group: `TransformersBackend` against TRL's generation.

    python -m benchmarks.rollouts

`GRPOTrainer` is run with ``rollout=dict(type="TransformersBackend")``, which encodes the image and
most of the prompt once per group, and with ``rollout=None``, TRL's own generation, which encodes
them for every completion. The model is that of ``benchmarks.grpo`` (66 million parameters), with 8
completions of exactly 120 tokens per prompt. Both trainers alternate, on one thread; ratios are
medians of the logged ``time/rollout``, TRL's over the backend's.

This takes ten minutes on one free core. The last line is JSON, by tokens of the prompt.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rexkit.datasets import ShapesDataset
from rexkit.examples import ExampleDataset, Source
from rexkit.models import TinyVLM
from rexkit.tasks import PointingTask
from rexkit.training.grpo.grpo_trainer import GRPOTrainer

GROUP = 8
COMPLETION_TOKENS = 120
ROLLOUTS: Mapping[str, dict[str, str] | None] = {
    "trl": None,
    "ours": {"type": "TransformersBackend"},
}


def build_model(hidden_size: int, layers: int) -> TinyVLM:
    """Build a model that never ends a completion."""
    vlm = TinyVLM(
        weights=None,
        hidden_size=hidden_size,
        layers=layers,
        heads=hidden_size // 64,
        max_pixels=4096 * 4096,
    )

    def suppress_end(layer: Any, inputs: Any, logits: torch.Tensor) -> None:
        logits[..., vlm.tokenizer.eos_token_id] = torch.finfo(logits.dtype).min

    vlm.model.lm_head.register_forward_hook(suppress_end)
    return vlm


def rollout_seconds(kind: str, vlm: TinyVLM, side: int, folder: Path) -> float:
    """Return the logged time of the second rollout; the first one warms up."""
    GRPOTrainer(
        vlm,
        ExampleDataset(
            [Source(ShapesDataset(8, image_size=(side, side)), PointingTask())], training=True
        ),
        folder,
        rewards=["format"],
        rollout=ROLLOUTS[kind],
        per_device_train_batch_size=GROUP,
        num_generations=GROUP,
        max_completion_length=COMPLETION_TOKENS,
        max_steps=2,
        logging_steps=1,
        completions_every=0,
        save_strategy="no",
        gradient_checkpointing=False,
        disable_tqdm=True,
    ).fit()
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return float(rows[1]["time/rollout"])


def main() -> None:
    """Print the times and ratios of each prompt length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, nargs="+", default=[400, 1300])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--hidden-size", type=int, default=768, help="a multiple of 64")
    parser.add_argument("--layers", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for prompt in options.prompts:
        vlm = build_model(options.hidden_size, options.layers)
        cell = vlm.model.config.vision_config.patch_size * 2
        side = cell * math.isqrt(prompt)
        taken: dict[str, list[float]] = {kind: [] for kind in ROLLOUTS}
        for _ in range(options.repeats):
            for kind, seconds in taken.items():
                with tempfile.TemporaryDirectory() as folder:
                    seconds.append(rollout_seconds(kind, vlm, side, Path(folder)))
        trl, ours = (statistics.median(taken[kind]) for kind in ("trl", "ours"))
        print(f"prompt {prompt}: TRL {trl:.2f} s, TransformersBackend {ours:.2f} s", flush=True)
        results[str(prompt)] = round(trl / ours, 2)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
