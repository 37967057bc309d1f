"""``rexkit reward RECORDS.jsonl --reward NAME``: compute rewards of written completions."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.table import Table

from rexkit.cli.options import add_import_option, import_components, parse_component
from rexkit.cli.terminal import Terminal

EPILOG = """
RECORDS.jsonl is predictions.jsonl of rexkit test or rexkit predict, completions.jsonl of GRPO, or
answer.jsonl of the public Rex-Omni evaluation.
Rewards that compare with the ground truth need records that have it.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and print means, histograms and the worst completions."""
    parser = argparse.ArgumentParser(prog="rexkit reward", description=__doc__, epilog=EPILOG)
    parser.add_argument("file", type=Path, metavar="RECORDS.jsonl", help="prediction records")
    parser.add_argument(
        "--reward",
        action="append",
        required=True,
        metavar="NAME[:KEY=VALUE,…]",
        help="of REWARDS, such as box_f1:threshold=0.9,weight=2; may be given several times",
    )
    parser.add_argument(
        "--parser",
        metavar="NAME[:KEY=VALUE,…]",
        help="of PARSERS, to read the texts again, such as SpanParser:transcription=inline; "
        "default: the predictions as the run read them",
    )
    parser.add_argument("--worst", type=int, default=10, help="how many completions to show")
    parser.add_argument(
        "--reward-errors",
        choices=("raise", "zero"),
        default="raise",
        help="what happens where a reward fails: stop (default), or count 0",
    )
    add_import_option(parser)
    args = parser.parse_args(argv)

    from rexkit.evaluation.reward_replay import histogram, replay
    from rexkit.registry import PARSERS
    from rexkit.rewards import WeightedRewards

    import_components(args)
    configs = [parse_component(word) for word in args.reward]
    rewards = WeightedRewards(configs, args.reward_errors, key="--reward")
    reader = args.parser and PARSERS.build(parse_component(args.parser), key="--parser")
    completions = list(replay(args.file, rewards, reader))
    console = Terminal()
    if not completions:
        console.print(f"{args.file} contains no completions")
        return 1
    title = f"{len(completions)} completions of {args.file}"
    table = Table("reward", "mean", "0.0 to 1.0", title=title)
    for name in [*rewards.names, "total"]:
        values = [c.total if name == "total" else c.by_name[name] for c in completions]
        counts = " ".join(str(count) for count in histogram(values))
        table.add_row(name, f"{sum(values) / len(values):.4f}", counts)
    console.print(table)
    worst = Table("total", "line", "sample", "completion", title="worst completions")
    for completion in sorted(completions, key=lambda c: c.total)[: args.worst]:
        text = completion.text if len(completion.text) <= 200 else f"{completion.text[:199]}…"
        line = completion.location.rpartition(":")[2]
        worst.add_row(f"{completion.total:.3f}", line, completion.source, text)
    console.print(worst)
    for name, number in rewards.failures.items():
        console.print(f"{name} failed {number} times and counted 0", style="red")
    return 0
