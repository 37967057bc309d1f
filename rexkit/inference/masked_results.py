"""Masks of the results of a batch."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence

from rexkit.errors import DataError
from rexkit.inference.result import Result
from rexkit.interfaces import Masker
from rexkit.maskers import add_masks


def mask_results(
    masker: Masker, results: Sequence[Result], images: Sequence[Hashable], raises: bool
) -> None:
    """Add masks to the predictions of results, in place: once for all questions about an image.

    Args:
        masker: of MASKERS.
        results: those without a prediction, or without instances, stay as they are.
        images: for each result, what it has in common with others of the same image.
        raises: whether an image that cannot be used raises, instead of giving results an ``error``.

    Raises:
        DataError: with ``raises``, an image cannot be opened again, or has another size than
            before.
    """
    found: dict[Hashable, list[Result]] = {}
    for image, result in zip(images, results, strict=True):
        if result.success and result.instances:
            found.setdefault(image, []).append(result)
    for same in found.values():
        started = time.perf_counter()
        predictions = [result.valid_prediction for result in same]
        try:
            # Opened again: a batch of images in their original size may not fit into memory.
            masked = add_masks(masker, same[0].image, predictions)
        except DataError as error:
            if raises:
                raise DataError(error.reason, same[0].name) from error
            for result in same:
                result.error, result.prediction = error.reason, None
            continue
        for result, prediction in zip(same, masked, strict=True):
            result.prediction = prediction
            result.seconds += (time.perf_counter() - started) / len(same)
