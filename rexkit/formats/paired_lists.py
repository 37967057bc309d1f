"""Points and regions that a record gives in two lists, as one set of instances.

The public Rex-Omni training code describes an object of a pointing task by a point and, at the same
position of another list, its box or mask. So the entries of a phrase under ``points`` and under
``boxes`` (or ``masks`` or ``polygons``, where it has no boxes) are the same objects:

- in order, where both lists have as many entries of the phrase;
- otherwise by position, where each point lies in a region of its own; of several such pairings the
  one with the smallest regions. Regions without a point keep none;
- otherwise the record cannot be used.

Only entries whose one geometry is that of their list are paired: an entry that holds both, and any
under ``instances``, is an instance of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rexkit.errors import DataError
from rexkit.geometry import match
from rexkit.instances import extent, has_outline, in_boxes, in_outlines
from rexkit.run_lengths import decode_mask
from rexkit.structures import Array, Instance

REGION_LISTS = ("boxes", "masks", "polygons")


@dataclass(slots=True)
class ListedInstance:
    """An instance with the list that it is in.

    Attributes:
        list_name: the key of the list: "boxes".
        location: for messages: "boxes[3] 'cup'".
        instance: what the entry holds.
    """

    list_name: str
    location: str
    instance: Instance


def pair_points(found: Sequence[ListedInstance]) -> list[Instance]:
    """Return the instances of a record, each point joined with the region of the same object.

    Args:
        found: the instances of all lists.

    Returns:
        The instances; a pair is at the place of its region.

    Raises:
        DataError: the points of a phrase cannot be paired with its regions.

    >>> cup = Instance("cup", bbox=np.array([0.0, 0, 9, 9]))
    >>> point = Instance("cup", point=np.array([4.0, 5.0]))
    >>> lists = [ListedInstance("boxes", "boxes[0]", cup), ListedInstance("points", "", point)]
    >>> pair_points(lists)[0].point
    array([4., 5.])
    """
    points = _numbers_by_phrase(found, "points")
    joined = [listed.instance for listed in found]
    gone: set[int] = set()
    for phrase, its_points in points.items():
        for list_name in REGION_LISTS:
            its_regions = _numbers_by_phrase(found, list_name).get(phrase)
            if its_regions:
                for point, region in _pairs(found, its_points, its_regions):
                    joined[region] = _joined(joined[region], joined[point])
                    gone.add(point)
                break
    return [instance for number, instance in enumerate(joined) if number not in gone]


def _numbers_by_phrase(found: Sequence[ListedInstance], list_name: str) -> dict[str, list[int]]:
    """Return the positions of the entries of a list that hold its geometry alone."""
    numbers: dict[str, list[int]] = {}
    for number, listed in enumerate(found):
        instance = listed.instance
        has_region = instance.bbox is not None or has_outline(instance)
        if (
            listed.list_name == list_name
            and instance.keypoints is None
            and (instance.point is None if list_name != "points" else not has_region)
        ):
            numbers.setdefault(instance.phrase, []).append(number)
    return numbers


def _pairs(
    found: Sequence[ListedInstance], points: Sequence[int], regions: Sequence[int]
) -> list[tuple[int, int]]:
    if len(points) == len(regions):
        return list(zip(points, regions, strict=True))
    its_regions = [found[number].instance for number in regions]
    inside = _inside(np.array([found[n].instance.point for n in points]), its_regions)
    rows, columns = match(inside, 1.0)
    if len(rows) < len(points):
        lonely = found[points[min(set(range(len(points))) - set(rows.tolist()))]]
        raise DataError(
            f"{lonely.location} lies in no region of its own under "
            f"{found[regions[0]].list_name!r}: the phrase has {len(points)} points and "
            f"{len(regions)} regions, which are paired in order if equally many, otherwise by "
            "position; correct them, or write both geometries into one entry"
        )
    return [(points[row], regions[column]) for row, column in zip(rows, columns, strict=True)]


def _inside(points: Array, regions: Sequence[Instance]) -> Array:
    """1 and a little more, the smaller the region, where a point lies in it: (N, M)."""
    outlined = np.array([has_outline(region) for region in regions])
    inside = np.where(outlined, in_outlines(points, regions), in_boxes(points, regions))
    areas = np.array([_area(region) for region in regions])
    return np.asarray(inside * (1 + 1 / (1 + areas)))


def _area(region: Instance) -> float:
    if region.mask is not None:
        return float(decode_mask(region.mask).sum())
    x0, y0, x1, y1 = extent(region)
    return float((x1 - x0) * (y1 - y0))


def _joined(region: Instance, point: Instance) -> Instance:
    return replace(
        region,
        point=point.point,
        text=point.text if region.text is None else region.text,
        score=point.score if region.score is None else region.score,
        ignore=region.ignore or point.ignore,
        extra={**point.extra, **region.extra},
    )
