"""Results of tests: written while the test goes on, found again, compared and analysed.

They lie as those of the public Rex-Omni evaluation do: a folder for each task, in it one for each
data set (``box_eval/COCO/``), which holds ``predictions.jsonl`` and ``metrics.json``. Analysis,
comparison and reward replay also take what ``rexkit predict`` and GRPO write.
"""

from rexkit.evaluation.analysis import Analysis, Case, analyse
from rexkit.evaluation.comparison import MetricRow, RunComparison, compare
from rexkit.evaluation.faults import FAULT_KINDS, Fault, find_faults
from rexkit.evaluation.record_statistics import record_statistics
from rexkit.evaluation.results_folder import (
    DatasetResults,
    find_record_files,
    find_results,
    name_results,
    write_metrics,
)
from rexkit.evaluation.reward_replay import RewardedCompletion, replay
from rexkit.evaluation.samples_page import write_page
from rexkit.evaluation.tables import write_tables
from rexkit.formats.predictions import PredictionRecord, read_predictions

__all__ = [
    "FAULT_KINDS",
    "Analysis",
    "Case",
    "DatasetResults",
    "Fault",
    "MetricRow",
    "PredictionRecord",
    "RewardedCompletion",
    "RunComparison",
    "analyse",
    "compare",
    "find_faults",
    "find_record_files",
    "find_results",
    "name_results",
    "read_predictions",
    "record_statistics",
    "replay",
    "write_metrics",
    "write_page",
    "write_tables",
]
