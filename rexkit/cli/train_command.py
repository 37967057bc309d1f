"""``rexkit train CONFIG``: train what a config describes."""

from __future__ import annotations

import argparse
from tempfile import TemporaryDirectory

from rexkit.cli.options import add_config_options, overrides_of, show_metrics, start_logging

# The flags of the usual training scripts; each is an override of the config.
FLAGS = {
    "per_device_train_batch_size": int,
    "gradient_accumulation_steps": int,
    "learning_rate": float,
    "mm_projector_lr": float,
    "vision_tower_lr": float,
    "num_train_epochs": float,
    "deepspeed": str,
}


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(prog="rexkit train", description=__doc__)
    add_config_options(parser)
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="build and check everything, print what would run, and stop; writes nothing to the "
        "work dir",
    )
    for flag, kind in FLAGS.items():
        parser.add_argument(f"--{flag}", type=kind, help=f"sets trainer.{flag}")
    args = parser.parse_args(argv)
    overrides = overrides_of(args)
    for flag in FLAGS:
        if getattr(args, flag) is not None:
            overrides[f"trainer.{flag}"] = getattr(args, flag)

    from rexkit.config import load_config

    start_logging()
    config = load_config(args.config, overrides, args.imports)

    from rexkit.jobs import train
    from rexkit.run import Run

    if args.dry_run:
        from rexkit.cli.run_summary import show_run

        with TemporaryDirectory() as folder:
            show_run(Run.from_config(config, "train", work_dir=folder), args.config)
        return 0
    metrics = train(Run.from_config(config, "train"), resume=args.resume)
    if metrics:
        show_metrics(metrics, f"{args.config}: results in {config.work_dir}")
    return 0
