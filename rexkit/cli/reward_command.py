"""``rexkit reward COMPLETIONS.jsonl --reward NAME``: what rewards would pay for written answers."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rexkit.cli.options import parse_override


def main(argv: list[str] | None = None) -> int:
    """Parse the words and print means, a histogram and the worst answers."""
    parser = argparse.ArgumentParser(prog="rexkit reward", description=__doc__)
    parser.add_argument("file", type=Path, help="JSONL, such as the predictions.jsonl of a test")
    parser.add_argument(
        "--reward",
        action="append",
        required=True,
        metavar="NAME[:KEY=VALUE,…]",
        help="of REWARDS, such as box_f1:threshold=0.9,weight=2; may be given several times",
    )
    parser.add_argument("--transcription", choices=("phrase", "inline"), help="of OCR answers")
    parser.add_argument("--worst", type=int, default=10, help="how many answers to show")
    parser.add_argument("--reward-errors", choices=("raise", "zero"), default="raise")
    args = parser.parse_args(argv)

    from rexkit.evaluation.reward_replay import histogram, replay
    from rexkit.rewards import WeightedRewards

    configs = [parse_reward(word) for word in args.reward]
    rewards = WeightedRewards(configs, args.reward_errors, key="--reward")
    answers = list(replay(args.file, rewards, args.transcription))
    console = Console()
    if not answers:
        console.print(f"{args.file} holds no answers")
        return 1
    table = Table("reward", "mean", "0.0 to 1.0", title=f"{len(answers)} answers of {args.file}")
    for name in [*rewards.names, "total"]:
        values = [a.total if name == "total" else a.by_name[name] for a in answers]
        counts = " ".join(str(count) for count in histogram(values))
        table.add_row(name, f"{sum(values) / len(values):.4f}", counts)
    console.print(table)
    worst = Table("total", "line", "sample", "answer", title="the worst")
    for answer in sorted(answers, key=lambda a: a.total)[: args.worst]:
        text = answer.text if len(answer.text) <= 200 else f"{answer.text[:199]}…"
        worst.add_row(f"{answer.total:.3f}", answer.place.rpartition(":")[2], answer.source, text)
    console.print(worst, markup=False)
    for name, number in rewards.failures.items():
        console.print(f"{name} failed {number} times and counted 0", style="red")
    return 0


def parse_reward(word: str) -> dict[str, object]:
    """A reward with its arguments.

    >>> parse_reward("box_f1:threshold=0.9,weight=2")
    {'type': 'box_f1', 'threshold': 0.9, 'weight': 2}
    """
    name, _, arguments = word.partition(":")
    return {"type": name, **dict(parse_override(a) for a in arguments.split(",") if a)}
