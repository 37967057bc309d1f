"""Confidence scores of predicted instances, from the probabilities of their tokens.

The score of an item is ``presence * localisation``, in [0, 1]:

- presence is the probability that there is an item at all. For the first of a phrase it is the
  probability of all coordinates against that of ``None``, C / (C + N): one bin in a thousand says
  little about whether something is there. For a later one it is the probability of the separator
  that announced it. A transcription in place of the phrase counts by the geometric mean of the
  probabilities of its tokens.
- localisation is the geometric mean, over the item's coordinates, of the probability that the
  coordinate is near the one written (within `rexkit.backends.recorder.NEAR` bins), among all bins.
  The mean makes items of different length comparable, as length normalisation does for sequences
  (Malinin & Gales, "Uncertainty Estimation in Autoregressive Structured Prediction", 2021, eq. 10).
  Pix2Seq (Chen et al. 2022, section 2.3) likewise ranks boxes by the probability of a token.

A backend that gives log-probabilities and no statistics of the bins has its scores from the tokens
alone: presence is 1 for a first item, and a coordinate counts by its own token's probability.

Where the written tokens cannot be matched to what was read, there is no score rather than a wrong
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from rexkit.backends.backend import Generation
from rexkit.grammar import to_bins, to_pixels
from rexkit.grammar.vocabulary import Vocabulary
from rexkit.structures import Array, ImageSize, Instance, Prediction


@dataclass(slots=True, eq=False)
class Confidence:
    """The confidence of a model in one instance.

    Attributes:
        score: ``presence * localisation``, in [0, 1].
        presence: that it is there.
        localisation: that its coordinates are near those written.
        expected: (k,) the expected bin of each coordinate, near the one written: a position finer
            than a bin. Without statistics of the bins, those written.
        spread: (k,) standard deviations in bins, over the whole distribution; NaN without
            statistics.
        keypoints: the same confidence of each visible keypoint by itself: presence is then that
            it is visible.
    """

    score: float
    presence: float
    localisation: float
    expected: Array
    spread: Array
    keypoints: dict[str, float] = field(default_factory=dict)


def confidences(
    prediction: Prediction, generation: Generation, vocabulary: Vocabulary
) -> list[Confidence | None]:
    """Return the confidence of each instance, or None where its tokens are not found.

    Args:
        prediction: parsed from the completion.
        generation: the completion, with log-probabilities.
        vocabulary: of the model.
    """
    instances = list(prediction.instances)
    if generation.logprobs is None:
        return [None] * len(instances)
    answer = _Answer(generation, vocabulary)
    runs = answer.runs()
    found: list[Confidence | None] = []
    for instance in instances:
        groups = []
        for bins in _bins(instance, prediction.image_size):
            # Runs that were read as nothing are passed over; what was read comes in order.
            at = next((i for i, run in enumerate(runs) if _same(run, bins, answer)), None)
            if at is None:
                break
            groups.append(runs[at])
            runs = runs[at + 1 :]
        else:
            found.append(answer.confidence(instance, groups) if groups else None)
            continue
        found.append(None)
    return found


def with_scores(
    prediction: Prediction,
    generation: Generation,
    vocabulary: Vocabulary,
    *,
    sub_bin: bool = False,
) -> Prediction:
    """Return the prediction with the score of each instance that has one.

    Scores of single keypoints are in ``extra["keypoint_scores"]``.

    Args:
        prediction: parsed from the completion.
        generation: the completion, with log-probabilities.
        vocabulary: of the model.
        sub_bin: put every coordinate at its expected bin, which lies between bins, in place of the
            bin written.
    """
    if generation.logprobs is None:
        return prediction
    scored = []
    both = zip(prediction.instances, confidences(prediction, generation, vocabulary), strict=True)
    for instance, confidence in both:
        if confidence is None:
            scored.append(instance)
            continue
        changed = replace(instance, score=confidence.score)
        if confidence.keypoints:
            changed.extra = {**instance.extra, "keypoint_scores": confidence.keypoints}
        if sub_bin:
            _move(changed, to_pixels(confidence.expected, prediction.image_size))
        scored.append(changed)
    return replace(prediction, instances=scored)


class _Answer:
    """The tokens of a completion with their probabilities."""

    def __init__(self, generation: Generation, vocabulary: Vocabulary):
        assert generation.logprobs is not None
        self.v = vocabulary
        self.ids = generation.token_ids
        self.logprobs = generation.logprobs.astype(np.float64)
        self.statistics = generation.bins
        self.bins = np.array([vocabulary.bin_of.get(token, -1) for token in self.ids])

    def runs(self) -> list[NDArray[np.int64]]:
        """Positions of coordinates with nothing, or one blank, from one to the next."""
        places = np.flatnonzero(self.bins >= 0)
        blank = self.v.encode(" ")
        cuts = [
            i + 1
            for i, (a, b) in enumerate(zip(places[:-1].tolist(), places[1:].tolist(), strict=True))
            if a + 1 < b and tuple(self.ids[a + 1 : b]) != blank
        ]
        return np.split(places, cuts) if len(places) else []

    def confidence(self, instance: Instance, groups: list[NDArray[np.int64]]) -> Confidence:
        first = groups[0]
        places = np.concatenate(groups)
        localisation = self._localisation(first)
        presence = self._presence(int(first[0]), instance)
        keypoints = {}
        if instance.keypoints is not None:
            visible = [name for name, xy in instance.keypoints.items() if xy is not None]
            positions = groups[len(groups) - len(visible) :]
            for name, run in zip(visible, positions, strict=True):
                seen = float(np.exp(self.logprobs[run[0] - 1]))
                keypoints[name] = seen * self._localisation(run)
        if self.statistics is None:
            expected, spread = self.bins[places].astype(float), np.full(len(places), np.nan)
        else:
            expected = self.statistics.near_mean[places].astype(float)
            spread = self.statistics.spread[places].astype(float)
        score = presence * localisation
        return Confidence(score, presence, localisation, expected, spread, keypoints)

    def _localisation(self, places: NDArray[np.int64]) -> float:
        if self.statistics is None:
            return float(np.exp(self.logprobs[places].mean()))
        near = self.statistics.near[places].astype(float)
        return float(np.exp(np.log(np.maximum(near, 1e-12)).mean()))

    def _presence(self, place: int, instance: Instance) -> float:
        before = self.ids[place - 1] if place else None
        if before != self.v.box_start:
            # JSON announces an instance by its name; nothing like None stands against it.
            announced = 1.0 if instance.keypoints is not None else np.exp(self.logprobs[place - 1])
            return float(announced)
        presence = 1.0
        if self.statistics is not None:
            there, none = self.statistics.coordinate[place], self.statistics.none[place]
            presence = float(there / max(there + none, 1e-12))
        return presence * self._transcription(place, instance)

    def _transcription(self, place: int, instance: Instance) -> float:
        """Of a text in place of the phrase: the geometric mean of its tokens."""
        if instance.text is None or instance.text != instance.phrase:
            return 1.0
        start = place - 2
        while start > 0 and self.ids[start - 1] != self.v.object_ref_start:
            start -= 1
        return float(np.exp(self.logprobs[start : place - 1].mean()))


def _bins(instance: Instance, image_size: ImageSize) -> Iterator[NDArray[np.int64]]:
    """Yield the bins of an instance in the order of the completion, a run at a time."""
    if instance.keypoints is not None:
        if instance.bbox is not None:
            yield to_bins(instance.bbox, image_size)
        for xy in instance.keypoints.values():
            if xy is not None:
                yield to_bins(xy, image_size)
        return
    for coords in (instance.bbox, instance.point, instance.polygon):
        if coords is not None:
            yield to_bins(coords, image_size).ravel()
            return


def _same(run: NDArray[np.int64], bins: NDArray[np.int64], answer: _Answer) -> bool:
    """Whether a run spells these bins, or a box whose corners were put in order."""
    if len(run) != len(bins):
        return False
    spelled = answer.bins[run]
    if len(run) == 4:
        first, second = spelled[:2], spelled[2:]
        spelled = np.concatenate([np.minimum(first, second), np.maximum(first, second)])
    return bool((spelled == bins).all())


def _move(instance: Instance, coords: Array) -> None:
    """Put an instance's geometry at other coordinates, in the order of `_bins`."""
    if instance.keypoints is not None:
        if instance.bbox is not None:
            instance.bbox, coords = _ordered(coords[:4]), coords[4:]
        points = iter(coords.reshape(-1, 2))
        instance.keypoints = {
            name: None if xy is None else next(points) for name, xy in instance.keypoints.items()
        }
    elif instance.bbox is not None:
        instance.bbox = _ordered(coords)
    elif instance.point is not None:
        instance.point = coords
    else:
        instance.polygon = coords.reshape(-1, 2)


def _ordered(box: Array) -> Array:
    """Return the box with its corners in order."""
    first, second = box[:2], box[2:]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)])
