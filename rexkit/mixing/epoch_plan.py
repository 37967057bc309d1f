"""How many examples of which source each epoch has, and which row each of them is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rexkit.datasets.mixture_shares import apportioned, capped_targets, temperature_shares
from rexkit.datasets.row_contents import RowContents
from rexkit.errors import ConfigError
from rexkit.mixing.mixture import Mixture, Stage
from rexkit.mixing.row_order import RowOrder
from rexkit.structures import Array

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class SourceRows:
    """The rows of a source, and how often an epoch goes through them.

    Attributes:
        key: config key of the source, for messages.
        size: number of rows that are used.
        weight: passes in an epoch, or in a mixture by temperature what the size is multiplied by.
        share: of the mixture, relative to those of other sources; None without shares.
        max_examples: the most examples of an epoch; None for any number.
        factors: (size,) how often a pass has each row; None is once.
        contents: of the rows; None if no stage needs them.
    """

    key: str
    size: int
    weight: float = 1.0
    share: float | None = None
    max_examples: int | None = None
    factors: Array | None = None
    contents: RowContents | None = None

    @property
    def pass_length(self) -> int:
        """Examples of a pass."""
        return RowOrder(self.size, self.factors, shuffled=False).length

    @property
    def examples(self) -> int:
        """Examples of an epoch, where sources are not mixed by shares."""
        wanted = max(1, round(self.pass_length * self.weight))
        return wanted if self.max_examples is None else min(wanted, self.max_examples)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The rows of a source that an epoch draws from, None for all, and their order."""

    rows: NDArray[np.int64] | None
    order: RowOrder


class EpochPlan:
    """The examples of every epoch: how many of each source, and of which rows.

    Everything is computed from (seed, epoch, index), whatever was asked for before, so that a
    resumed run, and every data worker, finds the same.

    Args:
        sources: of the mixture.
        mixture: how they are mixed; None takes ``examples`` of each source in every epoch.
        seed: of the order of rows.
        shuffled: whether rows are drawn in random order where an epoch has not whole passes.

    Attributes:
        length: examples of an epoch, the same in all.

    Raises:
        ConfigError: no row of a source is left in a stage, or the caps leave too few examples.
    """

    def __init__(
        self,
        sources: Sequence[SourceRows],
        mixture: Mixture | None = None,
        seed: int = 0,
        shuffled: bool = True,
    ):
        self.sources, self.seed = list(sources), seed
        self.mixture = mixture or Mixture()
        self._fixed = [s.examples for s in sources] if mixture is None else None
        self._shuffled = [shuffled and self._is_partial(source) for source in self.sources]
        self.length = self.mixture.epoch_size or sum(s.examples for s in self.sources)
        self._base = self._base_shares()
        self._counts: list[list[int]] = []
        self._carry = np.zeros(len(self.sources))
        self._drawn: dict[tuple[int, float, int], _Drawn] = {}
        if mixture is not None:
            for epoch in self.first_epochs():
                self.targets(epoch)

    def first_epochs(self) -> list[int]:
        """Return the first epoch of each stage."""
        firsts = [0]
        for stage in self.mixture.stages[:-1]:
            firsts.append(firsts[-1] + (stage.epochs or 0))
        return firsts

    def counts(self, epoch: int) -> list[int]:
        """Return how many examples of each source an epoch has."""
        if self._fixed is not None:
            return self._fixed
        while len(self._counts) <= epoch:
            # What rounding gave or took is made up for in the next epoch of the stage.
            if len(self._counts) in self.first_epochs():
                self._carry[:] = 0
            targets = self.targets(len(self._counts)) + self._carry
            counts = apportioned(targets, self.length)
            self._carry = targets - counts
            self._counts.append(counts)
        return self._counts[epoch]

    def shares(self, epoch: int) -> Array:
        """Return the share of each source in an epoch, before rounding, in sum 1."""
        targets = np.array(self._fixed, float) if self._fixed else self.targets(epoch)
        total: Array = targets / targets.sum()
        return total

    def targets(self, epoch: int) -> Array:
        """Return how many examples of each source an epoch has, before rounding.

        Raises:
            ConfigError: the caps of the sources leave too few.
        """
        here, after, done = self.mixture.shares_at(epoch, self._base)
        shares = (1 - done) * _normalised(here) + done * _normalised(after)
        caps = np.full(len(self.sources), np.inf)
        for number, source in enumerate(self.sources):
            if source.max_examples is not None:
                caps[number] = source.max_examples
            if shares[number] and not self.num_rows(number, epoch):
                raise self._empty_stage(number, epoch)
            if self.mixture.max_passes is not None and shares[number]:
                passes = self.mixture.max_passes * self.order(number, epoch).length
                caps[number] = min(caps[number], passes)
        found = capped_targets(shares, self.length, caps)
        if found.sum() < self.length * (1 - _ROUNDING):
            raise ConfigError(
                f"{_folder(self.sources)}: the caps of the sources (max_examples, max_passes) "
                f"leave {int(found.sum())} examples for an epoch of {self.length}; lower "
                "epoch_size, or raise a cap"
            )
        return found

    def passes(self, number: int, epoch: int) -> float:
        """Return how often an epoch goes through the rows of a source that its stage draws."""
        return self.counts(epoch)[number] / self.order(number, epoch).length

    def num_rows(self, number: int, epoch: int) -> int:
        """Return how many rows of a source an epoch draws from."""
        rows = self._rows(number, epoch).rows
        return self.sources[number].size if rows is None else len(rows)

    def ends(self, epoch: int) -> NDArray[np.int64]:
        """Return the index after the last example of each source in an epoch."""
        return np.cumsum(self.counts(epoch))

    def row(self, number: int, epoch: int, within: int, attempt: int = 0) -> int:
        """Return the row that an example is made of.

        Args:
            number: of the source.
            epoch: from 0.
            within: number of the example among those of the source in the epoch.
            attempt: how many rows that cannot be used came before.
        """
        place = within + self._drawn_before(number, epoch)
        row = self.order(number, epoch).row(place, attempt)
        rows = self._rows(number, epoch).rows
        return row if rows is None else int(rows[row])

    def order(self, number: int, epoch: int) -> RowOrder:
        """Return the order of the rows of a source in an epoch."""
        return self._rows(number, epoch).order

    def _drawn_before(self, number: int, epoch: int) -> int:
        """Return how many examples of the same rows earlier epochs had."""
        if self._fixed is not None:
            return epoch * self._fixed[number]
        _, first = self._selection(epoch)
        return sum(self.counts(e)[number] for e in range(first, epoch))

    def _selection(self, epoch: int) -> tuple[float, int]:
        """Return the fraction of rows and the first epoch that has the same rows."""
        number, first = self.mixture.stage_at(epoch)
        stages = self.mixture.stages
        changing = (
            self.mixture.gradual
            and number + 1 < len(stages)
            and stages[number].easiest != stages[number + 1].easiest
        )
        return self.mixture.easiest_at(epoch), epoch if changing else first

    def _rows(self, number: int, epoch: int) -> _Drawn:
        """Return the rows of a source in an epoch, with their order; the last ones are kept."""
        key = (number, *self._selection(epoch))
        if key not in self._drawn:
            while len(self._drawn) >= 4 * len(self.sources):
                del self._drawn[next(iter(self._drawn))]
            self._drawn[key] = self._drawn_rows(*key)
        return self._drawn[key]

    def _drawn_rows(self, number: int, easiest: float, first: int) -> _Drawn:
        source, rows = self.sources[number], None
        stage = self.mixture.stages[self.mixture.stage_at(first)[0]]
        if easiest < 1 or (stage.max_instances, stage.max_phrases) != (None, None):
            assert source.contents is not None
            rows = _chosen(source.contents, stage, easiest)
        size = source.size if rows is None else len(rows)
        factors = source.factors if rows is None or source.factors is None else source.factors[rows]
        seed = (self.seed, number, first)
        return _Drawn(rows, RowOrder(size, factors, seed, self._shuffled[number]))

    def _empty_stage(self, number: int, epoch: int) -> ConfigError:
        source, stage = self.sources[number], self.mixture.stage_at(epoch)[0]
        name = self.mixture.stages[stage].name
        return ConfigError(
            f"{_folder(self.sources)}.stages.{stage}{f' ({name})' if name else ''}: none of the "
            f"{source.size} rows of {source.key or f'source {number}'} has so few instances or "
            "phrases (max_instances, max_phrases); raise them, or give the stage shares with 0 for "
            "this source"
        )

    def _is_partial(self, source: SourceRows) -> bool:
        """Whether epochs need not have whole passes of a source."""
        return self._fixed is None or source.examples % source.pass_length > 0

    def _base_shares(self) -> Sequence[float]:
        """Return the shares where a stage sets none."""
        temperature = self.mixture.temperature
        if temperature is not None:
            sizes = [source.pass_length * source.weight for source in self.sources]
            return [float(share) for share in temperature_shares(sizes, temperature)]
        given = [source.share for source in self.sources]
        return [
            source.examples if share is None else share
            for source, share in zip(self.sources, given, strict=True)
        ]


def _chosen(contents: RowContents, stage: Stage, easiest: float) -> NDArray[np.int64]:
    """Return the rows that a stage draws, in their order."""
    instances, phrases = contents.num_instances, contents.num_categories
    fits = np.ones(len(contents), dtype=bool)
    if stage.max_instances is not None:
        fits &= instances <= stage.max_instances
    if stage.max_phrases is not None:
        fits &= phrases <= stage.max_phrases
    rows = np.flatnonzero(fits)
    if easiest < 1 and len(rows):
        order = np.lexsort((phrases[rows], instances[rows]))
        rows = np.sort(rows[order[: max(1, round(easiest * len(rows)))]])
    return rows


def _normalised(shares: Sequence[float]) -> Array:
    found = np.asarray(shares, dtype=np.float64)
    total: Array = found / found.sum()
    return total


def _folder(sources: Sequence[SourceRows]) -> str:
    """Return the config key of the mixture of some sources."""
    return sources[0].key.partition(".")[0] or "the mixture"
