"""The command line: every command parses its arguments and calls the library."""

from __future__ import annotations

import platform
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from rexkit import __version__
from rexkit.errors import StoppedBySignal, UserError, did_you_mean, without_controls

__all__ = ["COMMANDS", "main", "run"]

COMMANDS = {
    "train": ("rexkit.cli.train_command", "train what a config describes"),
    "test": ("rexkit.cli.test_command", "test a checkpoint on a config's test data"),
    "compare": ("rexkit.cli.compare_command", "compare the results of several runs"),
    "analyse": (
        "rexkit.cli.analyse_command",
        "count the errors of a test and show its worst samples",
    ),
    "predict": ("rexkit.cli.predict_command", "predict for images and videos"),
    "serve": ("rexkit.cli.serve_command", "serve a model as OpenAI's chat completions"),
    "plugins": (
        "rexkit.cli.plugins_command",
        "list installed plugins, their components, hooks, failures",
    ),
    "new-plugin": ("rexkit.cli.new_plugin_command", "write a working task plugin to start from"),
    "list": ("rexkit.cli.list_command", "list the components of a registry, such as REWARDS"),
    "export": ("rexkit.cli.export_command", "turn a training checkpoint into a plain model folder"),
    "reward": ("rexkit.cli.reward_command", "compute rewards of a file of predictions"),
    "select": ("rexkit.cli.select_command", "rank images by what their annotation would teach"),
    "convert": ("rexkit.cli.convert_command", "turn a data set into another format"),
    "vis-tsv": ("rexkit.cli.vis_tsv_command", "draw samples of TSV files"),
}


def main(argv: list[str] | None = None) -> int:
    """Run a command and return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help"):
        listing = "\n".join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items())
        sys.stdout.write(
            f"usage: rexkit COMMAND …\n\n{listing}\n\nrexkit COMMAND --help lists its options; "
            "rexkit --version prints the versions that a bug report needs.\n"
        )
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"{version_line()}\n")
        return 0
    if words[0] not in COMMANDS:
        sys.stderr.write(f"rexkit: no command {words[0]!r}; {did_you_mean(words[0], COMMANDS)}\n")
        return 2
    return run(import_module(COMMANDS[words[0]][0]).main, words[1:])


def version_line() -> str:
    """Return the versions of rexkit, Python and the packages that decide most of its behaviour."""
    found = [f"Python {platform.python_version()}"]
    for package in ("torch", "transformers", "trl", "vllm"):
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return f"rexkit {__version__} ({', '.join(found)})"


def run(command: object, words: list[str] | None = None) -> int:
    """Call a command's ``main``; an error that the user can correct is printed without traceback.

    Args:
        command: takes the arguments and returns an exit code.
        words: the arguments; if left out, those of the process.

    Returns:
        The exit code: 2 after such an error, 130 after SIGINT (Ctrl-C), 143 after SIGTERM.
    """
    received: list[int] = []
    try:
        with _raised(received):
            return command(words)  # type: ignore[operator, no-any-return]
    except BaseException as error:
        if received or isinstance(error, KeyboardInterrupt):
            stopped = error if isinstance(error, StoppedBySignal) else None
            signum = stopped.signum if stopped else [*received, signal.SIGINT][0]
            line = str(stopped or f"stopped by {signal.Signals(signum).name}")
            sys.stderr.write(f"{without_controls(line)}\n")
            return 128 + signum
        if isinstance(error, (UserError, FileNotFoundError)):
            sys.stderr.write(f"error: {without_controls(str(error))}\n")
            return 2
        raise


@contextmanager
def _raised(received: list[int]) -> Iterator[None]:
    """Raise an exception where SIGINT or SIGTERM comes, so that files are closed on the way.

    Args:
        received: gets the signal, since other packages turn exceptions into others.
    """

    def stop(signum: int, frame: object) -> None:
        received.append(signum)
        for each in before:  # the second one ends at once
            signal.signal(each, signal.SIG_DFL)
        raise StoppedBySignal(f"stopped by {signal.Signals(signum).name}", signum)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for signum in (signal.SIGINT, signal.SIGTERM):
            before[signum] = signal.signal(signum, stop)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
