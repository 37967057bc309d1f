"""``rexkit train CONFIG``: train what a config describes."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rexkit.cli.options import add_config_options, overrides_of, show_metrics, start_logging

EPILOG = """
Every argument of the config's trainer is a flag too, such as --learning_rate 1e-5 --bf16
--weight_decay 0.01: fields of transformers' TrainingArguments, or TRL's GRPOConfig, and
the trainer's own. Flags and KEY=VALUE words of the public Rex-Omni scripts set what they set there.
"""

_OWN = {
    **dict.fromkeys(("--import", "--work-dir", "--output_dir"), 1),
    **dict.fromkeys(("--resume", "--overwrite", "--dry-run", "--help"), 0),
    "--cfg-options": None,
}
"""The options of the parser below, with the number of their values."""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(prog="rexkit train", description=__doc__, epilog=EPILOG)
    add_config_options(parser, flag=True)
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.add_argument(
        "--overwrite", action="store_true", help="remove what an earlier run left in the work dir"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="build and check everything, print what would run, and stop; writes nothing to the "
        "work dir",
    )
    start_logging()
    args, config = _read(parser, sys.argv[1:] if argv is None else argv)

    from rexkit.jobs import train
    from rexkit.run import Run

    if args.dry_run:
        from rexkit.cli.run_summary import show_run

        with TemporaryDirectory() as folder:
            show_run(Run.from_config(config, "train", work_dir=folder), args.config)
        return 0
    if args.resume and args.overwrite:
        parser.error("--resume and --overwrite exclude each other")
    with _only_run(config, args):
        run = Run.from_config(config, "train")
        metrics = train(run, resume=args.resume, overwrite=args.overwrite)
    if metrics:
        show_metrics(metrics, f"{args.config}: results in {config.work_dir}")
    return 0


def _only_run(config: Any, args: argparse.Namespace) -> AbstractContextManager[None]:
    """Hold the work directory before anything is built, in the first process."""
    from rexkit.evaluation.distributed import is_main_process
    from rexkit.training.run_identity import locked

    if not is_main_process() or not isinstance(config.get("work_dir"), str):
        return nullcontext()  # a config without it is refused later
    return locked(Path(config.work_dir), args.resume, args.overwrite)


def _read(parser: argparse.ArgumentParser, words: list[str]) -> tuple[argparse.Namespace, Any]:
    """Return the parsed arguments, and the config with all overrides."""
    from rexkit.cli.public_flags import CONFIG_FLAGS, config_of, flag_overrides, public_kinds
    from rexkit.cli.script_flags import split_flags, trainer_kinds
    from rexkit.config import load_config

    known: list[Any] = []

    def of_trainer(name: str) -> Any:
        if not known:  # importing the trainers takes seconds, which flags alone need here
            known.append(trainer_kinds())
        return known[0](name)

    def kinds_of(name: str) -> Any:
        return frozenset([str]) if name in CONFIG_FLAGS else public_kinds(name, of_trainer)

    found = split_flags(words, _OWN, kinds_of)
    named = config_of(found)
    args = parser.parse_args(found.words)
    if named is not None and args.config not in (None, named):
        parser.error(f"the config is named twice: {args.config} and {named}")
    args.config = named or args.config
    if args.config is None:
        parser.error("the config is missing")
    overrides = overrides_of(args)
    config = load_config(args.config, overrides, args.imports)
    if found:
        overrides |= flag_overrides(found, config, of_trainer)
        config = load_config(args.config, overrides, args.imports)
    return args, config
