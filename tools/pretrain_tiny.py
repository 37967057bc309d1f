"""Make the weights of the embedded model, in the stages of ``configs/pretrain/tiny.py``.

    python tools/pretrain_tiny.py --work-dir work_dirs/pretrain_tiny

A stage whose checkpoint is already there is not run again. The last weights are written in half
precision to ``WORK_DIR/model.safetensors``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from rexkit.cli.options import start_logging
from rexkit.config import load_config
from rexkit.datasets.shapes_dataset import COLORS, SHAPES
from rexkit.examples import ExampleDataset, build_examples
from rexkit.jobs import train
from rexkit.models import TinyVLM
from rexkit.models.tiny_tokenizer import WORDS
from rexkit.run import Run

HERE = Path(__file__).parent


def main() -> int:
    """Run the stages that are not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default=str(HERE.parent / "configs/pretrain/tiny.py"))
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/pretrain_tiny"))
    args = parser.parse_args()
    sys.path.insert(0, str(HERE))
    start_logging()
    stages = load_config(args.config).stages
    weights = None
    for number, stage in enumerate(stages):
        started = time.time()
        done = args.work_dir / f"stage_{number}" / "final" / "model.safetensors"
        if not done.is_file():
            config = load_config(args.config)
            config.merge_from_dict({"work_dir": str(done.parents[1]), "model.weights": weights})
            config.train_data = stage.train_data
            config.trainer.update(stage.trainer)
            train(Run.from_config(config, "train"))
            sys.stdout.write(f"stage {number}: {(time.time() - started) / 60:.1f} minutes\n")
        weights = str(done)
    vlm = TinyVLM(weights=weights)
    set_apart_unseen_words(vlm, build_examples(stages[-1].train_data, "stages", 0, training=True))
    state = {name: p.detach().half().contiguous() for name, p in vlm.model.named_parameters()}
    save_file(state, args.work_dir / "model.safetensors", metadata={"format": "pt"})
    return 0


@torch.no_grad()
def set_apart_unseen_words(vlm: TinyVLM, examples: ExampleDataset) -> None:
    """Reset the embeddings of words that no example used.

    Every training step moves the vectors of all tokens that were not predicted in the same
    direction, so words that never occur end up almost equal, and fine-tuning could hardly separate
    them. They are drawn again around the mean of the learned words for colours and shapes.
    """
    tokenizer: Any = vlm.tokenizer
    known = tokenizer.get_vocab()
    drawn = [examples[i] for i in range(0, len(examples), 7)]
    # With the chat markup around the prompt, whose words are no less learned.
    texts = [vlm.encoder.chat(example.prompt) + example.response for example in drawn]
    seen = {token for ids in tokenizer(texts).input_ids for token in ids}
    weight: Any = vlm.model.get_input_embeddings().weight
    new = [w for w in dict.fromkeys(WORDS) if not {known.get(w), known[f"Ġ{w}"]} & seen]
    noise = torch.randn(len(new), weight.shape[1], generator=torch.Generator().manual_seed(0))
    for space in ("", "Ġ"):
        learned = [known[space + w] for w in (*COLORS, *SHAPES) if known[space + w] in seen]
        around, spread = weight[learned].mean(0), weight[learned].std(0).mean()
        rows = torch.tensor([known.get(space + w, -1) for w in new])
        weight[rows[rows >= 0]] = around + 0.7 * spread * noise[rows >= 0]


if __name__ == "__main__":
    raise SystemExit(main())
