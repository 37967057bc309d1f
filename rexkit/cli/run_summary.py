"""What a training would run, printed by ``rexkit train --dry-run``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from rexkit.cli.terminal import Terminal

if TYPE_CHECKING:
    from rexkit.examples import ExampleDataset
    from rexkit.run import Run


def show_run(run: Run, title: str) -> None:
    """Print the sources of a run with an example each, what trains, and the number of steps.

    Args:
        run: a run of the job "train".
        title: the name of the config.
    """
    console = Terminal()
    console.print(_sources(run, title))
    if run.train_data is not None and run.train_data.mixture is not None:
        console.print(_stages(run.train_data))
    for checked in run.sources:
        for prompt, response in zip(checked.prompts, checked.responses, strict=True):
            console.print(f"\n{checked.key}", style="bold")
            for name, text in (("prompt", prompt), ("response", response)):
                console.print(f"{name}: {text}", soft_wrap=True)
    if run.train_data is not None:
        _show_later_stages(console, run.train_data)
    console.print()
    console.print(_parameters(run))
    steps = "unknown" if run.steps is None else f"{run.steps:,}"
    console.print(f"trainer: {type(run.trainer).__name__}, optimizer steps: {steps}")
    console.print(f"{title}: everything is checked, nothing was trained", soft_wrap=True)


def _show_later_stages(console: Terminal, data: ExampleDataset) -> None:
    """Print a prompt of each source in each stage after the first."""
    later = list(zip(data.plan.mixture.stages, data.plan.first_epochs(), strict=True))[1:]
    for stage, epoch in later:
        for number, source in enumerate(data.sources):
            if data.plan.counts(epoch)[number]:
                item = data[epoch, data.first_index(number, epoch)]
                example = item[0] if isinstance(item, list) else item
                console.print(f"\n{source.key}, stage {stage.name or epoch}", style="bold")
                console.print(f"prompt: {example.prompt}", soft_wrap=True)


def _sources(run: Run, title: str) -> Table:
    table = Table(title=title)
    for name in ("source", "dataset", "task"):
        table.add_column(name)
    for name in ("samples", "weight", "examples"):
        table.add_column(name, justify="right")
    for checked in run.sources:
        source = checked.source
        mixed = ".sources." in checked.key  # the table of the mixture has its examples
        tasks = source.task if isinstance(source.task, list) else [source.task]
        table.add_row(
            checked.key,
            checked.name,
            ", ".join(task.name for task in tasks),
            f"{source.num_rows:,}",
            *(("", "") if mixed else (f"{source.weight:g}", f"{len(source):,}")),
        )
    return table


def _stages(data: ExampleDataset) -> Table:
    """Return what the first epoch of each stage draws from each source."""
    table = Table(title="mixture")
    for name in ("stage", "epochs", "source"):
        table.add_column(name)
    for name in ("rows", "share", "examples", "passes"):
        table.add_column(name, justify="right")
    stages, plan = data.plan.mixture.stages, data.plan
    for stage, first in zip(stages, plan.first_epochs(), strict=True):
        last = "" if stage.epochs is None else f"{first + stage.epochs - 1}"
        for number, source in enumerate(data.sources):
            table.add_row(
                stage.name or str(stages.index(stage)) if number == 0 else "",
                f"{first}-{last}" if number == 0 else "",
                source.key,
                f"{plan.num_rows(number, first):,}",
                f"{plan.shares(first)[number]:.1%}",
                f"{plan.counts(first)[number]:,}",
                f"{plan.passes(number, first):.3g}",
            )
    return table


def _parameters(run: Run) -> Table:
    table = Table("part", title="parameters")
    for name in ("trained", "total"):
        table.add_column(name, justify="right")
    assert run.vlm is not None
    trained, total = run.vlm.count_parameters(trainable=True), run.vlm.count_parameters()
    for part, number in total.items():
        table.add_row(part, f"{trained[part]:,}", f"{number:,}")
    table.add_row("total", f"{sum(trained.values()):,}", f"{sum(total.values()):,}", style="bold")
    return table
