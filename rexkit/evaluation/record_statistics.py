"""What prediction records say without metrics: problems, lengths, rewards."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from rexkit.evaluation.results_folder import MetricValues, Place, find_record_files
from rexkit.formats.predictions import PredictionRecord, read_predictions


def record_statistics(folder: Path) -> dict[Place, MetricValues]:
    """Return statistics of the prediction records in a folder, by (task, data set).

    ``samples`` and ``errors`` are numbers of images; ``problem_rate`` and ``truncated_rate`` shares
    of the samples; ``instances_per_sample``, ``output_tokens_per_sample``, ``seconds_per_sample``,
    ``reward`` and ``rewards/NAME`` means over the samples that know them.

    Args:
        folder: as in `rexkit.evaluation.results_folder.find_record_files`.

    Raises:
        FileNotFoundError: there are no records in it.
        DataError: a line is no record; the message names file and line.
    """
    _, files = find_record_files(folder)
    columns: dict[Place, dict[str, list[float]]] = {}
    errors: dict[Place, int] = defaultdict(int)
    for file in files:
        for record in read_predictions(file.path):
            place = file.place(record)
            table = columns.setdefault(place, defaultdict(list))
            errors[place] += record.prediction is None
            for name, value in _values(record).items():
                table[name].append(value)
    return {
        place: {
            "samples": float(len(table.get("problem_rate", ()))),
            "errors": float(errors[place]),
            **{name: sum(values) / len(values) for name, values in table.items()},
        }
        for place, table in columns.items()
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
