"""Results of tests: written while the test goes on, found again, laid side by side, analysed.

They lie as those of the public Rex-Omni evaluation do: a folder for each task, in it one for each
data set (``box_eval/COCO/``), which holds ``predictions.jsonl`` and ``metrics.json``.
"""

from rexkit.evaluation.analysis import Analysis, Case, analyse
from rexkit.evaluation.comparison import Comparison, compare
from rexkit.evaluation.faults import FAULT_KINDS, Fault, find_faults
from rexkit.evaluation.results_folder import (
    DatasetResults,
    find_results,
    name_results,
    write_metrics,
)
from rexkit.evaluation.samples_page import write_page
from rexkit.evaluation.tables import write_tables
from rexkit.evaluation.test_records import Record, read_records

__all__ = [
    "FAULT_KINDS",
    "Analysis",
    "Case",
    "Comparison",
    "DatasetResults",
    "Fault",
    "Record",
    "analyse",
    "compare",
    "find_faults",
    "find_results",
    "name_results",
    "read_records",
    "write_metrics",
    "write_page",
    "write_tables",
]
