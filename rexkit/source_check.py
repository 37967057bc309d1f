"""The check of a source: its first example is made, its response is read and scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rexkit.evaluation.evaluator import build_metrics
from rexkit.evaluation.results_folder import readable_name
from rexkit.examples import ExampleDataset, Source
from rexkit.registry import errors_at
from rexkit.structures import Example, Prediction

__all__ = ["CheckedSource", "MetricConfigs", "check_source"]

MetricConfigs = Sequence[str | Mapping[str, Any]] | None


@dataclass(frozen=True)
class CheckedSource:
    """A source of which one example was made and read back.

    Attributes:
        key: its config key: "train_data.0".
        source: the source.
        prompts: of its first example; several if the source has several tasks.
        responses: the expected response to each prompt.
    """

    key: str
    source: Source
    prompts: list[str]
    responses: list[str]

    @property
    def name(self) -> str:
        """The name of its dataset, as in results."""
        return self.source.name or readable_name(self.source.dataset)


def check_source(
    examples: ExampleDataset, number: int, key: str, metrics: MetricConfigs
) -> CheckedSource:
    """Make the first example of a source, read its response and score it.

    Args:
        examples: with the source.
        number: of the source.
        key: its config key.
        metrics: configs of METRICS that score it; None for those of the task.

    Raises:
        UserError: the source gives no example, or its response cannot be parsed or scored.
    """
    source = examples.sources[number]
    with errors_at(key, {}):
        item = examples.first_example(number)
    every: list[Example] = item if isinstance(item, list) else [item]
    for example in every:
        if source.parser is not None:
            with errors_at(f"{key}.parser", {}):
                prediction = source.parser(example.response, example.target.image_size)
            _check_metrics(source, example, prediction, metrics, key)
    return CheckedSource(key, source, [e.prompt for e in every], [e.response for e in every])


def _check_metrics(
    source: Source, example: Example, prediction: Prediction, metrics: MetricConfigs, key: str
) -> None:
    for number, metric in enumerate(build_metrics(source, metrics)):
        with errors_at(f"metrics.{number}" if metrics else f"{key}.task.metrics.{number}", {}):
            metric.add(prediction, example.target)
