"""Recording of log-probabilities and bin statistics during generation, for scores."""

from __future__ import annotations

import torch
from transformers import LogitsProcessor

from rexkit.backends.backend import BinStatistics, Floats
from rexkit.grammar.vocabulary import Vocabulary

NEAR = 40
"""Bins at most this far from the generated one count as near it: 4 % of the image. Of the values 5
to 80 it was among the best at separating correct boxes from wrong ones
(`benchmarks.calibration`)."""


class Bins:
    """Computes statistics of the bin distribution from logits.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary):
        self._coordinates = torch.from_numpy(vocabulary.coordinates)
        self._none = vocabulary.none[0]

    def logs(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log-probabilities of ``None`` and the bins, (rows, 1 + bins), and the logits' sum.

        The sum, (rows, 1), is that of their exponentials, as a logarithm.
        """
        self._coordinates = self._coordinates.to(logits.device)
        total = logits.logsumexp(1, keepdim=True)
        both = torch.cat([logits[:, self._none, None], logits[:, self._coordinates]], 1)
        return both - total, total

    def statistics(self, logs: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        """Return the columns of `BinStatistics`, (rows, 7), for the tokens that were chosen.

        Args:
            logs: (rows, 1 + bins), as `logs` gives them.
            taken: (rows,) token ids.
        """
        self._coordinates = self._coordinates.to(logs.device)
        numbers = torch.arange(len(self._coordinates), device=logs.device, dtype=logs.dtype)
        mass = logs[:, 1:].exp()
        coordinate = mass.sum(1)
        where = (self._coordinates == taken[:, None]).to(torch.int8).argmax(1, keepdim=True)
        near = mass * ((numbers - where).abs() <= NEAR)
        mean, spread = _moments(mass, numbers)
        near_mean, near_spread = _moments(near, numbers)
        share = near.sum(1) / coordinate
        columns = (logs[:, 0].exp(), coordinate, mean, spread, share, near_mean, near_spread)
        return torch.stack(columns, 1)


class Recorder(LogitsProcessor):
    """Records the log-probability of every token and statistics of the bin distribution.

    It must come before every processor that masks tokens, so that it records the model's own
    distribution. It keeps eight numbers per row and step. The logits of a step are kept until the
    next one, when the chosen token is known; masking other tokens in place does not affect that.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary):
        self._bins = Bins(vocabulary)
        self._held: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        self._steps: list[torch.Tensor] = []
        self._rows: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Record the step and return the scores unchanged."""
        if self._held is not None:
            self._record_step(input_ids[:, -1])
        self._held = scores, *self._bins.logs(scores)
        return scores

    def finish(self, completions: torch.Tensor) -> None:
        """Record the last token of the completions, (rows, T), which no later step records."""
        if len(self._steps) < completions.shape[1]:
            self._record_step(completions[:, -1])
        self._rows = torch.stack(self._steps, 2).cpu()

    def row(self, number: int, length: int) -> tuple[Floats, BinStatistics]:
        """Return log-probabilities and statistics of the first tokens of a row."""
        assert self._rows is not None
        logprobs, *statistics = self._rows[number, :, :length].numpy()
        return logprobs, BinStatistics(*statistics)

    def _record_step(self, taken: torch.Tensor) -> None:
        assert self._held is not None
        scores, logs, total = self._held
        logprob = scores.gather(1, taken[:, None]) - total
        self._steps.append(torch.cat([logprob, self._bins.statistics(logs, taken)], 1))
        self._held = None


def _moments(weights: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation of numbers, (rows,) each, for rows of weights."""
    share = weights / weights.sum(1, keepdim=True)
    mean = share @ numbers
    return mean, (share * (numbers - mean[:, None]).square()).sum(1).sqrt()
