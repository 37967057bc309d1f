"""Commands of rexkit in processes of their own, forked from one that has imported the trainers."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import ForkServerProcess
from pathlib import Path

# Importing the trainers takes ten seconds. A server process with these imports is kept in each test
# process, and others are forked from it.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    ["rexkit.jobs", "rexkit.training.trainers", "rexkit.cli.train_command", "matplotlib.figure"]
)


def start_command(words: list[str], log: Path) -> ForkServerProcess:
    """Start a command such as ``["train", "config.py"]``; its output goes to a file."""
    process = FORKED.Process(target=_run, args=(words, log))
    process.start()
    return process


def _run(words: list[str], log: Path) -> None:
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    multiprocessing.set_start_method("fork", force=True)  # as it is without the server
    from rexkit.cli import main

    raise SystemExit(main(words))
