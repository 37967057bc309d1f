"""Results of tests: written while the test goes on, found again, laid side by side, analysed.

They lie as those of the public Rex-Omni evaluation do: a folder for each task, in it one for each
data set (``box_eval/COCO/``), which holds ``predictions.jsonl`` and ``metrics.json``.
"""

from rexkit.results.analyse import Analysis, Case, analyse
from rexkit.results.compare import Comparison, compare
from rexkit.results.faults import FAULT_KINDS, Fault, find_faults
from rexkit.results.folder import DatasetResults, find_results, name_results, write_metrics
from rexkit.results.page import write_page
from rexkit.results.record import Record, read_records
from rexkit.results.tables import write_tables

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
