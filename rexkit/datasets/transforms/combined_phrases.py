"""Phrases of an image that is made of several: which of them may be asked for, and how."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rexkit.phrases import normalise_phrase
from rexkit.structures import Annotation, Instance


def join_annotations(annotations: Sequence[Annotation], exhaustive: bool) -> Annotation:
    """Return the annotation of an image that shows several.

    A phrase is absent where it is absent from every image.

    Args:
        annotations: of the same size, in coordinates of the whole image.
        exhaustive: whether each has all instances of every phrase of the others. If not, the
            instances of a phrase are ignored where an image neither has it nor is known not to.
    """
    present = [_spellings(i.phrase for i in one.instances) for one in annotations]
    absent = [_spellings(one.absent) for one in annotations]
    everywhere = set.intersection(*absent).difference(*present)
    known = set.intersection(*(a | b for a, b in zip(present, absent, strict=True)))
    instances = [i for one in annotations for i in one.instances]
    if not exhaustive:
        instances = [i if normalise_phrase(i.phrase) in known else ignored(i) for i in instances]
    return Annotation(
        annotations[0].image_size,
        instances,
        [phrase for phrase in annotations[0].absent if normalise_phrase(phrase) in everywhere],
    )


def without_absent(annotation: Annotation, added: Iterable[str]) -> Annotation:
    """Return an annotation without the absent phrases that are in its image now."""
    shown = _spellings(added)
    absent = [phrase for phrase in annotation.absent if normalise_phrase(phrase) not in shown]
    return (
        annotation if len(absent) == len(annotation.absent) else replace(annotation, absent=absent)
    )


def known_phrases(annotation: Annotation) -> set[str]:
    """Return what all spellings of the phrases have in common that an image has or has not."""
    return _spellings(annotation.phrases)


def ignored(instance: Instance) -> Instance:
    """Return an instance that is ignored, but not as a crowd: that matches many predictions."""
    return replace(instance, ignore=True, extra={"iscrowd": False, **instance.extra})


def _spellings(phrases: Iterable[str]) -> set[str]:
    return {normalise_phrase(phrase) for phrase in phrases}
