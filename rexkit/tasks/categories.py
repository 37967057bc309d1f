"""Checks of users' categories and boxes, before they become part of a prompt."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rexkit.errors import DataError, UserError
from rexkit.phrases import clean_phrase
from rexkit.structures import Array, ImageSize
from rexkit.tasks.task import QuestionArguments


def clean_arguments(
    arguments: QuestionArguments, image_size: ImageSize, special_tokens: Collection[str] = ()
) -> QuestionArguments:
    """Return the arguments of a user with categories and boxes checked and normalised.

    Args:
        arguments: as the user gave them.
        image_size: (width, height) of the image in pixels.
        special_tokens: the special tokens of the model's tokenizer.

    Raises:
        UserError: see `clean_category`.
        DataError: see `clean_boxes`.
    """
    boxes = arguments.visual_prompt_boxes
    return replace(
        arguments,
        categories=[clean_category(c, special_tokens) for c in arguments.categories],
        visual_prompt_boxes=None if boxes is None else clean_boxes(boxes, image_size),
    )


def clean_category(category: Any, special_tokens: Iterable[str] = ()) -> str:
    r"""Return a category as it is written in a prompt: one line of text.

    It is the rule of data, `rexkit.phrases.clean_phrase`: each run of white space, newlines
    included, becomes one space, so that a category cannot start a new line of the prompt. ``<``,
    quotes and commas are kept; a category with a comma is still one category, though the model may
    read it as two.

    Args:
        category: a word or expression.
        special_tokens: the special tokens of the model's tokenizer.

    Raises:
        UserError: the category is not text, is empty, or contains a special token.

    >>> clean_category(' a  "red"\ncup < 3 cm ')
    'a "red" cup < 3 cm'
    """
    if not isinstance(category, str):
        raise UserError(f"categories: {category!r} is not text")
    try:
        words = clean_phrase(category)
    except DataError as error:
        raise UserError(f"categories: {error.reason}") from error
    found = next((token for token in special_tokens if token in words), None)
    if found is not None:
        raise UserError(
            f"categories: {words!r} contains {found!r}, which is a special token of the model; "
            "spell it differently"
        )
    return words


def clean_boxes(boxes: ArrayLike, image_size: ImageSize) -> Array:
    """Return reference boxes clipped to their image.

    Args:
        boxes: (N, 4) or (4,), xyxy pixels of the original image.
        image_size: (width, height) in pixels.

    Returns:
        (N, 4), xyxy pixels.

    Raises:
        DataError: the values are not boxes, or a box is outside the image.

    >>> clean_boxes([5, 5, 20, 8], (10, 10)).tolist()
    [[5.0, 5.0, 10.0, 8.0]]
    """
    try:
        found = np.atleast_2d(np.asarray(boxes, dtype=np.float64))
    except (TypeError, ValueError):
        found = np.empty((0, 0))
    if found.ndim != 2 or found.shape[1] != 4 or not len(found):
        raise DataError(f"visual_prompt_boxes: {boxes!r} is not a list of [x0, y0, x1, y1]")
    cut = np.clip(found, 0, np.tile(image_size, 2))
    for box, inside in zip(found, cut, strict=True):
        if not np.isfinite(box).all() or box[2] < box[0] or box[3] < box[1]:
            raise DataError(
                f"visual_prompt_boxes: {box.tolist()} must be finite, x0 <= x1 and y0 <= y1"
            )
        if inside[2] <= inside[0] or inside[3] <= inside[1]:
            raise DataError(
                f"visual_prompt_boxes: {box.tolist()} does not overlap the image of "
                f"{image_size[0]} x {image_size[1]} pixels; coordinates are pixels of the "
                "original image, upright"
            )
    return cut
