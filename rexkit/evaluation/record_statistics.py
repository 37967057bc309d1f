"""Statistics of prediction records that need no metrics: problems, lengths, rewards."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path

from rexkit.evaluation.results_folder import MetricValues, ResultName, find_record_files
from rexkit.formats.predictions import PredictionRecord, read_predictions

logger = logging.getLogger(__name__)


def record_statistics(folder: Path) -> dict[ResultName, MetricValues]:
    """Return statistics of the prediction records in a folder, by (task, data set).

    ``samples`` and ``errors`` are numbers of images; ``problem_rate`` and ``truncated_rate`` are
    shares of the samples; ``instances_per_sample``, ``output_tokens_per_sample``,
    ``seconds_per_sample``, ``reward`` and ``rewards/NAME`` are means over the samples that have
    the value.

    Args:
        folder: as in `rexkit.evaluation.results_folder.find_record_files`.

    Raises:
        FileNotFoundError: there are no records in it.
        DataError: a line is no record; the message names file and line.
    """
    _, files = find_record_files(folder)
    columns: dict[ResultName, dict[str, list[float]]] = {}
    errors: dict[ResultName, int] = defaultdict(int)
    for file in files:
        number = 0
        for number, record in enumerate(read_predictions(file.path), start=1):  # noqa: B007
            result = file.result_name(record)
            table = columns.setdefault(result, defaultdict(list))
            errors[result] += record.prediction is None
            for name, value in _values(record).items():
                table[name].append(value)
        if (missing := file.missing(number)) is not None:
            logger.warning("%s", missing)
    return {
        result: {
            "samples": float(len(table.get("problem_rate", ()))),
            "errors": float(errors[result]),
            **{name: sum(values) / len(values) for name, values in table.items()},
        }
        for result, table in columns.items()
    }


def _values(record: PredictionRecord) -> MetricValues:
    if record.prediction is None:
        return {}
    known = {
        "problem_rate": float(bool(record.prediction.problems)),
        "truncated_rate": float(record.truncated),
        "instances_per_sample": float(len(record.prediction.instances)),
        "output_tokens_per_sample": record.num_output_tokens,
        "seconds_per_sample": record.seconds,
        "reward": record.reward,
        **{f"rewards/{name}": value for name, value in record.rewards.items()},
    }
    return {name: float(value) for name, value in known.items() if value is not None}
