"""Make the weights of the embedded model, in the stages of ``configs/pretrain/tiny.py``.

    python tools/pretrain_tiny.py --work-dir work_dirs/pretrain_tiny

The last weights are written in half precision to ``WORK_DIR/model.safetensors``.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from safetensors.torch import save_file

from rexkit.cli.options import start_logging
from rexkit.config import load_config
from rexkit.engine.jobs import train
from rexkit.models import TinyVLM

HERE = Path(__file__).parent


def main() -> int:
    """Run the stages that are not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default=str(HERE.parent / "configs/pretrain/tiny.py"))
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/pretrain_tiny"))
    args = parser.parse_args()
    sys.path.insert(0, str(HERE))
    start_logging()
    started = time.time()
    weights = None
    for number, stage in enumerate(load_config(args.config).stages):
        done = args.work_dir / f"stage_{number}" / "final" / "model.safetensors"
        if not done.is_file():
            config = load_config(args.config)
            config.merge_from_dict(
                {"work_dir": str(done.parents[1]), "model": {"weights": weights}}
            )
            config.train_data = stage.train_data
            config.trainer.update(stage.trainer)
            train(config)
        weights = str(done)
        sys.stdout.write(f"stage {number} done after {(time.time() - started) / 60:.1f} minutes\n")
    model = TinyVLM(weights=weights).model
    state = {name: p.detach().half().contiguous() for name, p in model.named_parameters()}
    save_file(state, args.work_dir / "model.safetensors", metadata={"format": "pt"})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
