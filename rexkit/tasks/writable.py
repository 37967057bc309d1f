"""Ground truth that a response can state exactly: what is written is read back as it was meant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.grammar.bins import LAST_BIN, to_bins, to_pixels
from rexkit.phrases import clean_phrase, clean_text
from rexkit.structures import Annotation


def writable(annotation: Annotation, source: str) -> Annotation:
    """Return an annotation with phrases and texts as they are written and read.

    Datasets of files have them so already; others may build their instances themselves.

    Args:
        annotation: is not changed.
        source: of its sample, for the message.

    Returns:
        The same object where nothing changes.

    Raises:
        DataError: a phrase cannot be written; see `rexkit.phrases.clean_phrase`.
    """
    try:
        names = [clean_phrase(i.phrase) for i in annotation.instances]
        absent = [clean_phrase(phrase) for phrase in annotation.absent]
        listed = annotation.extra.get("categories")
        clean_list = None if listed is None else [clean_phrase(phrase) for phrase in listed]
        keypoints = [_clean_keys(i.keypoints) for i in annotation.instances]
    except DataError as error:
        raise error.at(source) from error
    texts = [None if i.text is None else clean_text(i.text) for i in annotation.instances]
    extra = annotation.extra if listed is None else {**annotation.extra, "categories": clean_list}
    instances = [
        instance
        if (name, text) == (instance.phrase, instance.text) and named is instance.keypoints
        else replace(instance, phrase=name, text=text, keypoints=named)
        for instance, name, text, named in zip(
            annotation.instances, names, texts, keypoints, strict=True
        )
    ]
    same = all(a is b for a, b in zip(instances, annotation.instances, strict=True))
    if same and absent == list(annotation.absent) and extra == annotation.extra:
        return annotation
    return Annotation(annotation.image_size, instances, absent, extra=extra)


def with_area(annotation: Annotation) -> Annotation:
    """Return an annotation whose boxes have an area in bins too, as the grammar asks of a box.

    A box without width or height is ignored, neither trained on nor scored. One that is narrower
    than a coordinate bin becomes one bin wide, and all of it lies on bins: the box that its
    response states is then the box of the target.

    Args:
        annotation: is not changed.

    >>> from rexkit.structures import Instance
    >>> line, sliver = Instance("rope", bbox=[5, 5, 90, 5]), Instance("rope", bbox=[5, 5, 90, 5.4])
    >>> ignored, wide = with_area(Annotation((999, 999), [line, sliver])).instances
    >>> ignored.ignore, wide.bbox.tolist()
    (True, [5.0, 5.0, 90.0, 6.0])
    """
    found, image_size = list(annotation.instances), annotation.image_size
    boxed = [number for number, i in enumerate(found) if i.bbox is not None and not i.ignore]
    if not boxed:
        return annotation
    boxes = np.array([found[number].bbox for number in boxed])
    bins = to_bins(boxes, image_size)
    # Across a border of bins too, where a box of half a bin would be stated as a whole one.
    small = ((boxes[:, 2:] - boxes[:, :2]) * LAST_BIN < image_size).any(axis=1)
    small |= (bins[:, :2] == bins[:, 2:]).any(axis=1)
    if not small.any():
        return annotation
    for row in np.flatnonzero(small).tolist():
        instance, box = found[boxed[row]], boxes[row]
        if (box[:2] == box[2:]).any():
            # Not as a crowd, which would match any number of predictions.
            extra = {**instance.extra, "iscrowd": False}
            found[boxed[row]] = replace(instance, ignore=True, extra=extra)
            continue
        low, high = bins[row, :2].copy(), bins[row, 2:].copy()
        narrow = low == high
        high += narrow & (low < LAST_BIN)
        low -= narrow & (low == LAST_BIN)
        wide = to_pixels(np.concatenate([low, high]), image_size)
        found[boxed[row]] = replace(instance, bbox=wide)
    return replace(annotation, instances=found)


def _clean_keys(keypoints: Any) -> Any:
    if keypoints is None or all(clean_phrase(name) == name for name in keypoints):
        return keypoints
    return {clean_phrase(name): xy for name, xy in keypoints.items()}
