"""``rexkit new-plugin NAME``: write a working task plugin, to be changed into one's own."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from string import Template

from rexkit.cli.terminal import Terminal
from rexkit.errors import UserError
from rexkit.registry import TASK_FNS

FILES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "$package"
version = "0.1.0"
description = "The $task task for rexkit"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["rexkit"]

[project.entry-points."rexkit.plugins"]
$task = "$module"

[tool.setuptools]
packages = ["$module"]

[tool.pytest.ini_options]
testpaths = ["tests"]
""",
    "$module/__init__.py": '''\
"""The $task task for rexkit, which imports this module by its entry point."""

from rexkit import TASK_FNS, Instance
from rexkit.tasks import PhraseTask


@TASK_FNS.register_module()
class $task_class(PhraseTask):
    """Boxes for phrases; `rexkit list TASK_FNS` shows this line."""

    name = "$task"  # in metrics and files
    geometry = "bbox"  # of the predictions: "bbox", "point" or "polygon"
    metrics = ("BoxF1", "Rejection")  # of `rexkit list METRICS`
    templates = (  # training draws one, testing uses the first
        "Find {phrases} for the $task task.",
        "For the $task task, where is {phrases}?",
    )

    def answerable(self, instance: Instance) -> Instance | None:
        """Return the instance if it can be asked for; here, if it has a box with an area."""
        if instance.bbox is None:
            return None
        x0, y0, x1, y1 = instance.bbox
        return instance if x1 > x0 and y1 > y0 else None
''',
    "tests/test_$module.py": '''\
"""The task is found by its name, and its own response, read back, is perfect."""

import numpy as np
import pytest

from rexkit import DATASETS, METRICS, PARSERS, TASK_FNS
from rexkit.tasks import QuestionArguments


@pytest.fixture
def task():
    return TASK_FNS.build(dict(type="$task_class"))


def test_the_expected_response_is_perfect(task):
    parse, metric = PARSERS.build(task.parser), METRICS.build(dict(type="BoxF1"))
    for sample in DATASETS.build(dict(type="ShapesDataset", size=5)):
        example = task.example(sample, np.random.default_rng(0), training=False)
        prediction = parse(example.response, sample.image.size)
        assert not prediction.problems
        metric.add(prediction, example.target)
    assert metric.compute()["f1@0.5"] == 1.0


def test_it_asks_by_its_own_template(task):
    question = task.question((640, 480), QuestionArguments(["cup", "dog"]))
    assert question.prompt == "Find cup, dog for the $task task."
''',
    "README.md": """\
# $package

The $task task for rexkit.

```bash
pip install -e .
rexkit plugins    # lists $package
pytest
```

A config then says `requires = ["$package"]` and `task=dict(type="$task_class")`.
""",
}

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and write the files."""
    parser = argparse.ArgumentParser(prog="rexkit new-plugin", description=__doc__)
    parser.add_argument(
        "name", help="of the task, such as fruit: the package is rexkit-plugin-NAME"
    )
    parser.add_argument(
        "--dir", type=Path, default=Path(), help="where; the current folder if left out"
    )
    args = parser.parse_args(argv)
    folder = write_plugin(args.name, args.dir)
    console = Terminal()
    console.print(f"{folder} is written. Next:")
    for command in (f"pip install -e {folder}", "rexkit plugins", f"pytest {folder}"):
        console.print(f"  {command}", soft_wrap=True)
    return 0


def write_plugin(name: str, parent: Path) -> Path:
    """Write the skeleton of a task plugin; returns its folder, ``parent/rexkit-plugin-NAME``.

    Raises:
        UserError: the name is no good for a package or is taken, or the folder is there already.
    """
    name = name.removeprefix("rexkit-plugin-")
    if not _NAME.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        hint = f"; did you mean {better!r}?" if _NAME.fullmatch(better) else ""
        raise UserError(
            f"{name!r} is no name for a package: small letters, digits and single hyphens, "
            f"a letter first{hint}"
        )
    task = name.replace("-", "_")
    task_class = "".join(part.capitalize() for part in name.split("-")) + "Task"
    taken = {title: getattr(known, "name", "") for title, known in TASK_FNS.components().items()}
    for title, known in taken.items():
        if title == task_class or known == task:
            raise UserError(f"the task {name!r} would be taken for {title}, which there is already")
    folder = parent / f"rexkit-plugin-{name}"
    if folder.exists():
        raise UserError(f"{folder} is there already; choose another name or --dir")
    words = {
        "package": folder.name,
        "module": folder.name.replace("-", "_"),
        "task": task,
        "task_class": task_class,
    }
    for path, text in FILES.items():
        file = folder / Template(path).substitute(words)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(text).substitute(words), "utf-8")
    return folder
