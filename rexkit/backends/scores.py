"""Confidence scores of predicted instances, from the probabilities of their tokens.

The score of an item is ``presence * localisation``, in [0, 1]:

- presence is the probability that there is an item at all. For the first item of a phrase it is
  C / (C + N), where C is the probability of all coordinates together and N that of ``None``. For
  a later item it is the probability of the separator before it. If the phrase is a transcription,
  presence is multiplied by the geometric mean of the probabilities of its tokens.
- localisation is the geometric mean, over the item's coordinates, of the probability that the
  coordinate is near the generated one (within `rexkit.backends.recorder.NEAR` bins), among all
  bins.
  The mean makes items of different length comparable, as length normalisation does for sequences
  (Malinin & Gales, "Uncertainty Estimation in Autoregressive Structured Prediction", 2021, eq. 10).
  Pix2Seq (Chen et al. 2022, section 2.3) likewise ranks boxes by the probability of a token.

For a backend that gives log-probabilities and no bin statistics, presence is 1 for a first item,
and the probability of a coordinate is that of its token.

An instance whose tokens cannot be found in the completion has no score.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

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
        presence: the probability that the instance is present.
        localisation: the probability that its coordinates are near the generated ones.
        expected: (k,) the expected bin of each coordinate, over the bins near the generated one:
            a position finer than a bin. Without bin statistics, the generated bins.
        spread: (k,) standard deviations in bins, over the whole distribution; NaN without
            bin statistics.
        keypoints: the score of each visible keypoint; its presence is the probability that it is
            visible.
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
    completion = _Completion(generation, vocabulary)
    runs = completion.runs()
    found: list[Confidence | None] = []
    for instance in instances:
        groups = []
        for bins in _bins(instance, prediction.image_size):
            # Instances are in the order of the completion; skip runs that the parser dropped.
            at = next((i for i, run in enumerate(runs) if _same(run, bins, completion)), None)
            if at is None:
                break
            groups.append(runs[at])
            runs = runs[at + 1 :]
        else:
            found.append(completion.confidence(instance, groups) if groups else None)
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
    """Return the prediction with a score for each instance whose tokens were found.

    Scores of single keypoints are in ``extra["keypoint_scores"]``.

    Args:
        prediction: parsed from the completion.
        generation: the completion, with log-probabilities.
        vocabulary: of the model.
        sub_bin: replace every coordinate by its expected bin, which may be between two bins.
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


class _Completion:
    """The tokens of a completion with their probabilities."""

    def __init__(self, generation: Generation, vocabulary: Vocabulary):
        assert generation.logprobs is not None
        self.v = vocabulary
        self.ids = generation.token_ids
        self.logprobs = generation.logprobs.astype(np.float64)
        self.statistics = generation.bins
        self.bins = np.array([vocabulary.bin_of.get(token, -1) for token in self.ids])

    def runs(self) -> list[NDArray[np.int64]]:
        """Return the positions of coordinates, split where more than one space is between them."""
        positions = np.flatnonzero(self.bins >= 0)
        blank = self.v.encode(" ")
        cuts = [
            i + 1
            for i, (a, b) in enumerate(pairwise(positions.tolist()))
            if a + 1 < b and tuple(self.ids[a + 1 : b]) != blank
        ]
        return np.split(positions, cuts) if len(positions) else []

    def confidence(self, instance: Instance, groups: list[NDArray[np.int64]]) -> Confidence:
        first = groups[0]
        positions = np.concatenate(groups)
        localisation = self._localisation(first)
        presence = self._presence(int(first[0]), instance)
        keypoints = {}
        if instance.keypoints is not None:
            visible = [name for name, xy in instance.keypoints.items() if xy is not None]
            runs = groups[len(groups) - len(visible) :]
            for name, run in zip(visible, runs, strict=True):
                presence_of_keypoint = float(np.exp(self.logprobs[run[0] - 1]))
                keypoints[name] = presence_of_keypoint * self._localisation(run)
        if self.statistics is None:
            expected, spread = self.bins[positions].astype(float), np.full(len(positions), np.nan)
        else:
            expected = self.statistics.near_mean[positions].astype(float)
            spread = self.statistics.spread[positions].astype(float)
        score = presence * localisation
        return Confidence(score, presence, localisation, expected, spread, keypoints)

    def _localisation(self, positions: NDArray[np.int64]) -> float:
        if self.statistics is None:
            return float(np.exp(self.logprobs[positions].mean()))
        near = self.statistics.near[positions].astype(float)
        return float(np.exp(np.log(np.maximum(near, 1e-12)).mean()))

    def _presence(self, position: int, instance: Instance) -> float:
        before = self.ids[position - 1] if position else None
        if before != self.v.box_start:
            if instance.keypoints is not None:  # in JSON, None is no alternative to an instance
                return 1.0
            return float(np.exp(self.logprobs[position - 1]))
        presence = 1.0
        if self.statistics is not None:
            coordinate, none = self.statistics.coordinate[position], self.statistics.none[position]
            presence = float(coordinate / max(coordinate + none, 1e-12))
        return presence * self._transcription(position, instance)

    def _transcription(self, position: int, instance: Instance) -> float:
        """Return the geometric mean of the probabilities of a transcription; 1 for a phrase."""
        if instance.text is None or instance.text != instance.phrase:
            return 1.0
        start = position - 2
        while start > 0 and self.ids[start - 1] != self.v.object_ref_start:
            start -= 1
        return float(np.exp(self.logprobs[start : position - 1].mean()))


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


def _same(run: NDArray[np.int64], bins: NDArray[np.int64], completion: _Completion) -> bool:
    """Return whether a run is these bins, or a box whose corners the parser put in order."""
    if len(run) != len(bins):
        return False
    generated = completion.bins[run]
    if len(run) == 4:
        first, second = generated[:2], generated[2:]
        generated = np.concatenate([np.minimum(first, second), np.maximum(first, second)])
    return bool((generated == bins).all())


def _move(instance: Instance, coords: Array) -> None:
    """Replace the coordinates of an instance, in the order of `_bins`."""
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
