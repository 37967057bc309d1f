"""Annotations and predictions of an image with the masks that a mask maker gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rexkit.errors import ConfigError, DataError, InterfaceError
from rexkit.formats.masks import read_mask
from rexkit.instances import extent
from rexkit.interfaces import Masker
from rexkit.registry import MASKERS
from rexkit.structures import Annotation, Instance

if TYPE_CHECKING:
    from PIL.Image import Image

AnyAnnotation = TypeVar("AnyAnnotation", bound=Annotation)

_SAM = "SAMMasker"


def build_masker(masks: str | Mapping[str, Any] | Masker, key: str = "masks") -> Masker:
    """Return a mask maker by its name or config; one that is built already is returned as it is.

    Args:
        masks: a name of MASKERS, a dict with ``type`` and its arguments, or the mask maker.
        key: the argument or option that it comes from, for messages.

    Raises:
        ConfigError: there is none of that name, or its arguments are wrong.

    >>> type(build_masker("FillMasker")).__name__
    'FillMasker'
    """
    if callable(masks):
        return masks
    config = {"type": masks} if isinstance(masks, str) else masks
    try:
        masker: Masker = MASKERS.build(config, key=key)
    except ConfigError as error:
        if config.get("type") in MASKERS or _SAM in MASKERS:
            raise
        raise ConfigError(
            f"{error} {_SAM}, which makes masks by SAM, is in the plugin rexkit-plugin-sam: pip "
            "install ./plugins/rexkit-plugin-sam in a checkout of rexkit"
        ) from error
    return masker


def add_masks(
    masker: Masker, image: Image, annotations: Sequence[AnyAnnotation]
) -> list[AnyAnnotation]:
    """Return annotations or predictions of one image with masks.

    Instances that have a mask already, that are ignored, or that have nothing to make a mask of
    stay as they are. The mask maker is called once for all others, and not at all without any.

    Args:
        masker: of MASKERS.
        image: RGB, upright.
        annotations: of this image, in its pixels.

    Raises:
        DataError: the image has another size than an annotation says.
        InterfaceError: the mask maker returned something else than the instances with masks of
            this image.
    """
    for annotation in annotations:
        if annotation.image_size != image.size:
            raise DataError(
                f"the annotation is of an image of {annotation.image_size} pixels, the image has "
                f"{image.size}"
            )
    found = [list(annotation.instances) for annotation in annotations]
    places = [(a, i) for a, row in enumerate(found) for i, one in enumerate(row) if _is_open(one)]
    if not places:
        return list(annotations)
    given = [found[a][i] for a, i in places]
    made = list(masker(image, given))
    name = type(masker).__name__
    if len(made) != len(given):
        raise InterfaceError(f"{name} returned {len(made)} instances for {len(given)}")
    for (a, i), instance in zip(places, made, strict=True):
        found[a][i] = _checked(instance, image, name)
    return [
        replace(annotation, instances=instances)
        for annotation, instances in zip(annotations, found, strict=True)
    ]


def _is_open(instance: Instance) -> bool:
    """Whether an instance is to get a mask."""
    usable = instance.mask is None and not instance.ignore
    return usable and bool(np.isfinite(extent(instance)).all())


def _checked(instance: Any, image: Image, name: str) -> Instance:
    if not isinstance(instance, Instance):
        raise InterfaceError(f"{name} returned {instance!r} in place of an Instance")
    if instance.mask is None:
        return instance
    try:
        return replace(instance, mask=read_mask(instance.mask, instance.phrase, image.size))
    except DataError as error:
        raise InterfaceError(f"{name} returned a mask that cannot be used: {error}") from error
