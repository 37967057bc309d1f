"""Instances from left to right: by their left bin, then by their top bin."""

from __future__ import annotations

import json

from rexkit.grammar import read
from rexkit.structures import Instance
from rexkit.tasks.instance_order import sort_from_left

SIZE = (2000, 1000)  # a bin is two pixels wide and one high


def order_of(instances: list[Instance], geometry: str) -> list[int]:
    return [instances.index(i) for i in sort_from_left(instances, geometry, SIZE)]


def test_equal_left_bins_go_by_the_top():
    # The first lies left of the second by a part of a bin, which the response cannot say.
    boxes = [[100.2, 500, 300, 600], [100.9, 20, 900, 90], [40, 900, 50, 950]]
    assert order_of([Instance("cup", bbox=box) for box in boxes], "bbox") == [2, 1, 0]
    points = [[100.2, 500], [100.9, 20], [40, 900]]
    assert order_of([Instance("cup", point=point) for point in points], "point") == [2, 1, 0]


def test_a_polygon_goes_by_its_leftmost_vertex():
    right = Instance("cup", polygon=[[500, 10], [600, 10], [400, 90]])
    left = Instance("cup", polygon=[[900, 10], [950, 50], [300, 50]])
    assert order_of([right, left], "polygon") == [1, 0]


def test_equal_places_and_missing_ones_keep_their_order():
    same = [Instance("cup", bbox=[5, 5, 9, 9], name=name) for name in "ab"]
    without = [Instance("cup", point=[1, 1]), Instance("cup", point=[0, 0])]
    mixed = [without[0], same[0], without[1], same[1]]
    assert order_of(mixed, "bbox") == [1, 3, 0, 2]
    assert order_of([], "bbox") == []
    assert order_of(without, "bbox") == [0, 1]


def test_most_spans_of_a_published_response_are_in_this_order(shared_data):
    lines = (shared_data / "rexomni_outputs" / "outputs.jsonl").read_text("utf-8").splitlines()
    [record] = [r for r in map(json.loads, lines) if r["id"] == "rexomni-detection-cafe"]
    size = tuple(record["image_size"])
    prediction = read(record["raw_output"], size)
    several = [found for p in prediction.phrases if len(found := prediction.of(p)) > 1]
    agreeing = [found == sort_from_left(found, "bbox", size) for found in several]
    assert (sum(agreeing), len(several)) == (5, 6)
