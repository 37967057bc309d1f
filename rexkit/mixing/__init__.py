"""Mixing of sources: shares, stages, repeat factors, and the order of rows."""

from rexkit.mixing.epoch_plan import EpochPlan, SourceRows
from rexkit.mixing.mixture import Mixture, Stage, read_mixture
from rexkit.mixing.permutation import Permutation
from rexkit.mixing.row_factors import row_factors
from rexkit.mixing.row_order import RowOrder

__all__ = [
    "EpochPlan",
    "Mixture",
    "Permutation",
    "RowOrder",
    "SourceRows",
    "Stage",
    "read_mixture",
    "row_factors",
]
