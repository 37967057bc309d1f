"""Evaluation: run tests, write and find their results, compare and analyse them.

The folders are those of the public Rex-Omni evaluation: one for each task, and in it one for each
data set (``box_eval/COCO/``) with ``predictions.jsonl`` and ``metrics.json``. Analysis, comparison
and reward replay also read the files of ``rexkit predict`` and GRPO.
"""

from rexkit.evaluation.analysis import Analysis, Case, analyse
from rexkit.evaluation.comparison import MetricRow, RunComparison, compare
from rexkit.evaluation.faults import FAULT_KINDS, Fault, find_faults
from rexkit.evaluation.image_selection import ImageSelection, select_images
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
    "ImageSelection",
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
    "select_images",
    "write_metrics",
    "write_page",
    "write_tables",
]
