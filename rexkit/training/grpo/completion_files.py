"""Files with the completions of a training run and their rewards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import gather_object

from rexkit.evaluation.tables import markdown
from rexkit.formats.predictions import COMPLETIONS, PredictionRecord, to_line
from rexkit.rewards import RewardTable
from rexkit.structures import Example, Prediction
from rexkit.training.grpo.reward_function import Completion
from rexkit.visualizers import PillowVisualizer
from rexkit.whole_files import write_whole

DRAWN_PROMPTS = 4
"""Number of prompts of which each process draws images."""


class CompletionWriter:
    """Writes the completions of every N-th step.

    A folder such as ``step_00050`` contains ``completions.jsonl``, which ``rexkit reward`` reads;
    ``table.md`` with a table for each prompt; and images of the best and the worst completion of
    some prompts.

    Args:
        folder: the parent folder of these.
        every: number of steps between two of them; 0 writes none.
        visualizer: of VISUALIZERS; None takes a `PillowVisualizer`.
    """

    def __init__(self, folder: Path, every: int, visualizer: Any = None):
        self.folder, self.every = folder, every
        self.visualizer = PillowVisualizer() if visualizer is None else visualizer
        self._written = -1

    def add(
        self,
        step: int,
        examples: Sequence[Example],
        completions: Sequence[Completion],
        rewards: RewardTable,
    ) -> None:
        """Write a batch if one is due; every process calls it with its own part.

        Args:
            step: number of updates of the model.
            examples: examples, those with the same prompt in a row.
            completions: one of each example.
            rewards: rewards of the completions.
        """
        if not self.every or step // self.every == self._written:
            return
        self._written = step // self.every
        folder = self.folder / f"step_{step:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        process = PartialState()
        records = [
            _record(
                example, completion, rewards, row, step, process.process_index * len(examples) + row
            ).to_dict()
            for row, (example, completion) in enumerate(zip(examples, completions, strict=True))
        ]
        predictions = [completion.prediction for completion in completions]
        _draw(self.visualizer, folder, examples, predictions, records)
        every: list[dict[str, Any]] = gather_object(records)
        if process.is_main_process:
            write_whole(folder / COMPLETIONS, "".join(map(to_line, every)))
            write_whole(folder / "table.md", _tables(every))


def _record(
    example: Example,
    completion: Completion,
    rewards: RewardTable,
    row: int,
    step: int,
    index: int,
) -> PredictionRecord:
    by_name = {name: float(values[row]) for name, values in rewards.by_name.items()}
    return PredictionRecord.of(
        example,
        completion.prediction,
        index=index,
        num_output_tokens=completion.num_tokens,
        truncated=completion.truncated,
        step=step,
        reward=float(rewards.total[row]),
        # A source may lack a reward that another has.
        rewards={name: value for name, value in by_name.items() if not math.isnan(value)},
    )


def _prompt(record: dict[str, Any]) -> tuple[str, str]:
    return record["source"], record["question"]


def _tables(records: Sequence[dict[str, Any]]) -> str:
    """Return a table for each prompt, the best completion first."""
    sections = [f"# Completions after {records[0]['step']} steps\n"]
    for (source, question), completions in groupby(records, _prompt):
        group = sorted(completions, key=lambda record: -record["reward"])
        rows = [
            [
                f"`{record['raw_response']}`",
                ", ".join(problem["kind"] for problem in record["problems"]),
                *(f"{value:.3f}" for value in (record["reward"], *record["rewards"].values())),
            ]
            for record in group
        ]
        header = ["completion", "problems", "reward", *group[0]["rewards"]]
        sections.append(f"## {source}\n\n{question}\n\n{markdown(header, rows, text_columns=2)}")
    return "\n".join(sections)


def _draw(
    visualizer: Any,
    folder: Path,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    records: Sequence[dict[str, Any]],
) -> None:
    """Draw ground truth beside the best and the worst completion of the first prompts."""
    groups = [[*rows] for _, rows in groupby(range(len(records)), lambda i: _prompt(records[i]))]
    for group in groups[:DRAWN_PROMPTS]:
        group.sort(key=lambda row: -records[row]["reward"])
        for name, row in {"worst": group[-1], "best": group[0]}.items():
            record = records[row]
            each = ", ".join(f"{name} {value:.3f}" for name, value in record["rewards"].items())
            image = visualizer.side_by_side(
                examples[row].image,
                examples[row].target,
                predictions[row],
                prompt=examples[row].prompt,
                text=f"reward {record['reward']:.3f} ({each}): {record['raw_response']}",
            )
            image.save(folder / f"{records[min(group)]['index']:04d}_{name}.png")
