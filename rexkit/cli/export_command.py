"""``rexkit export CHECKPOINT FOLDER``: a training checkpoint as a plain folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from rexkit.cli.options import start_logging

EPILOG = """
CHECKPOINT holds whole weights, DeepSpeed ZeRO shards, FSDP shards or a LoRA adapter, or is a work
directory, of which final/ is taken, or the last checkpoint if training did not end. DeepSpeed's
shards are pickles: export only your own.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and export."""
    parser = argparse.ArgumentParser(prog="rexkit export", description=__doc__, epilog=EPILOG)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="where the model goes")
    parser.add_argument("--base", help="the model a LoRA adapter was trained on")
    args = parser.parse_args(argv)
    return _export(args.checkpoint, args.folder, args.base)


def merge_main(argv: list[str] | None = None) -> int:
    """Run the same under the flag of the public reinforcement-learning scripts."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--local_dir", type=Path, required=True, help="the checkpoint")
    parser.add_argument("--base", help="the model a LoRA adapter was trained on")
    args = parser.parse_args(argv)
    return _export(args.local_dir, args.local_dir / "huggingface", args.base)


def _export(checkpoint: Path, folder: Path, base: str | None) -> int:
    from rexkit.models.export import export

    start_logging()
    kind = export(checkpoint, folder, base)
    Console().print(f"{checkpoint} ({kind}) is now a plain model in {folder}", soft_wrap=True)
    return 0
