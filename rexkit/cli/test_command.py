"""``rexkit test CONFIG CHECKPOINT``: test a checkpoint on a config's test data.

``torchrun --nproc-per-node=N tools/test.py CONFIG CHECKPOINT`` divides it among N processes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rexkit.cli.options import add_config_options, overrides_of, show_metrics, start_logging


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and test."""
    parser = argparse.ArgumentParser(prog="rexkit test", description=__doc__)
    add_config_options(parser)
    parser.add_argument(
        "checkpoint", nargs="?", help="a folder or hub id; default: the model of the config"
    )
    parser.add_argument("--show-dir", type=Path, help="draw every image there")
    args = parser.parse_args(argv)

    from rexkit.config import load_config

    start_logging()
    config = load_config(args.config, overrides_of(args), args.imports)
    if not args.work_dir:
        config.work_dir = str(Path(config.work_dir) / "test")

    from rexkit.evaluation.distributed import is_main_process
    from rexkit.jobs import test
    from rexkit.run import Run

    metrics = test(Run.from_config(config, "test", args.checkpoint), args.show_dir)
    if is_main_process():
        show_metrics(metrics, f"{args.checkpoint or args.config}: results in {config.work_dir}")
    return 0
