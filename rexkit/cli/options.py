"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
import ast
import logging
import os
from typing import Any

from rich.logging import RichHandler
from rich.table import Table

from rexkit.cli.terminal import Terminal
from rexkit.errors import ConfigError, without_controls


class _PrintableFormatter(logging.Formatter):
    """Names of files and texts of models must not reach the terminal as control sequences."""

    def format(self, record: logging.LogRecord) -> str:
        return without_controls(super().format(record))


def start_logging() -> None:
    """Show rexkit's log in the terminal; of several processes, the first one's."""
    first = os.environ.get("RANK", "0") == "0"  # as torchrun numbers them
    logging.basicConfig(
        level=logging.INFO if first else logging.ERROR,
        format="%(message)s",
        handlers=[RichHandler(console=Terminal(), show_path=False)],
    )
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_PrintableFormatter("%(message)s"))
    for chatty in ("httpx", "httpx2", "accelerate", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def add_import_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that imports modules with components."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module that registers components, such as my_task for ./my_task.py; may be "
        "given several times",
    )


def import_components(args: argparse.Namespace) -> None:
    """Import the modules of ``--import``.

    Raises:
        ConfigError: a module that cannot be imported.
    """
    from rexkit.config import import_modules

    import_modules(args.imports, "--import")


def add_config_options(parser: argparse.ArgumentParser, flag: bool = False) -> None:
    """Add the config file and the options that override it.

    Args:
        parser: of a command.
        flag: whether the config may be given as ``--config`` instead, which the command reads.
    """
    parser.add_argument(
        "config",
        nargs="?" if flag else None,
        help="a Python config file, or the name of a shipped config, such as sft/grounding"
        + ("; also --config CONFIG" if flag else ""),
    )
    add_import_option(parser)
    parser.add_argument("--work-dir", "--output_dir", dest="work_dir", help="where results go")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="overrides, such as trainer.learning_rate=1e-4 model.weights=None",
    )


def parse_override(word: str) -> tuple[str, Any]:
    """Split ``key=value``; the value is a Python literal where it can be, else a string.

    >>> parse_override("train_data.dataset.num_objects=(1, 2)"), parse_override("data_root=a/b")
    (('train_data.dataset.num_objects', (1, 2)), ('data_root', 'a/b'))
    """
    key, sign, value = word.partition("=")
    if not sign or not key:
        raise ConfigError(f"{word!r} must be KEY=VALUE, such as trainer.learning_rate=1e-4")
    try:
        return key, ast.literal_eval(value)
    except (TypeError, MemoryError, RecursionError) as error:
        raise ConfigError(f"{key}: {value[:80]!r} cannot be read as a value ({error})") from error
    except (ValueError, SyntaxError):
        return key, {"true": True, "false": False, "none": None}.get(value.lower(), value)


def parse_component(word: str) -> dict[str, object]:
    """Return the config of a component given as ``NAME:KEY=VALUE,…``.

    >>> parse_component("box_f1:threshold=0.9,weight=2")
    {'type': 'box_f1', 'threshold': 0.9, 'weight': 2}
    """
    name, _, arguments = word.partition(":")
    return {"type": name, **dict(parse_override(a) for a in arguments.split(",") if a)}


def overrides_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the config overrides of ``--cfg-options`` and ``--work-dir``."""
    overrides = dict(parse_override(word) for word in args.cfg_options)
    if args.work_dir:
        overrides["work_dir"] = args.work_dir
    return overrides


def show_metrics(metrics: dict[str, float], title: str) -> None:
    """Print metrics as a table, those before training beside those after."""
    before = {k.removeprefix("before/"): v for k, v in metrics.items() if k.startswith("before/")}
    after = {k: v for k, v in metrics.items() if not k.startswith("before/")}
    table = Table(title=title)
    table.add_column("metric")
    columns = [before, after] if before else [after]
    for name in ("before", "after") if before else ("value",):
        table.add_column(name, justify="right")
    for name in after:
        table.add_row(name, *(f"{c[name]:.4f}" if name in c else "" for c in columns))
    Terminal().print(table)
