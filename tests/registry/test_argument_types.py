"""The values of a config are checked against the annotations of a component's arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

import numpy as np
import pytest

from rexkit.argument_types import check_type, check_types
from rexkit.errors import ConfigError
from rexkit.registry import Registry

if TYPE_CHECKING:
    from nowhere import Unknown

Color = Literal["red", "green"]


class Plain:
    def __init__(self, color: Color, other: Unknown = None):
        self.color = color


class Optional:
    def __init__(self, color: Color | None = None):
        self.color = color


class Inherits(Optional):
    pass


@dataclass
class Fields:
    color: Color = "red"
    number: int | Literal["all"] = 1


def function(color: Color | float):
    return color


def open_ended(color: Color | str):
    return color


def hidden(color: Unknown):
    return color


@pytest.mark.parametrize("component", [Plain, Optional, Inherits, Fields, function])
def test_a_string_that_is_no_choice_is_an_error_with_key_and_near_miss(component):
    message = r"^a\.b\.color: must be 'red' or 'green', got 'gren'; did you mean 'green'\?$"
    with pytest.raises(ConfigError, match=message):
        check_types(component, {"color": "gren"}, "a.b")
    check_types(component, {"color": "red"}, "a.b")


@pytest.mark.parametrize(
    ("component", "arguments"),
    [
        (Optional, {"color": None}),
        (Fields, {"number": "all"}),
        (Fields, {"number": 3}),
        (function, {"color": 0.5}),
        (open_ended, {"color": "octarine"}),
        (hidden, {"color": "octarine"}),
        (Plain, {"other": "octarine"}),
        (print, {"sep": "octarine"}),
    ],
)
def test_other_arguments_pass(component, arguments):
    check_types(component, arguments, "a.b")


def test_several_errors_are_reported_together():
    def both(color: Color, mode: Literal["fast", "slow"]):
        return color, mode

    with pytest.raises(ConfigError) as error:
        check_types(both, {"color": "x", "mode": "fats"}, "a")
    assert str(error.value).count("must be") == 2


def test_a_registry_checks_them():
    registry = Registry("PAINTS", scope="rexkit", locations=[])
    registry.register_module(module=Optional)
    with pytest.raises(ConfigError, match=r"^train\.0\.color: must be"):
        registry.build({"type": "Optional", "color": "blue"}, key="train.0")
    assert registry.build({"type": "Optional", "color": "red"}).color == "red"


def test_only_the_strings_of_a_literal_are_named():
    def mixed(size: Literal["all", 3]):
        return size

    with pytest.raises(
        ConfigError, match=r"^size: must be 'all' or 3, got 'al'; did you mean 'all'"
    ):
        check_types(mixed, {"size": "al"}, "")


def numbers(
    share: float,
    count: int | None = None,
    on: bool = False,
    either: float | bool = 0,
    size: int | str = 1,
    sizes: Sequence[int] = (),
):
    return share


NUMBERS = [
    (
        "share",
        ["1e-3", [1], {"a": 1}, True],
        [1, 0.5, float("nan"), None, np.float32(1)],
        "a number",
    ),
    ("count", ["x", 1.5, True, [2], float("nan")], [1, 2.0, None, np.int64(3)], "a whole number"),
    ("on", ["yes", 5, 0.5, [True]], [True, False, 1, 0, None], "True or False"),
    ("either", ["x"], [True, 0.5], "a number or True or False"),
    ("size", [[1], 1.5], ["x", 1], "a whole number or a string"),
    (
        "sizes",
        ["12", 1, [1.5], {"a": 1}],
        [[1], (1, 2), [], np.array([1])],
        "a list of whole numbers",
    ),
    ("unknown", [], ["x", 1, [1]], ""),
]


@pytest.mark.parametrize(("name", "wrong", "right", "wanted"), NUMBERS)
def test_numbers(name, wrong, right, wanted):
    for value in wrong:
        with pytest.raises(ConfigError, match=rf"^a\.b\.{name}: expected {wanted}, got "):
            check_types(numbers, {name: value}, "a.b")
    for value in right:
        check_types(numbers, {name: value}, "a.b")


class Options(TypedDict, total=False):
    pair: tuple[int, int]


def others(
    path: str | os.PathLike[str] = "",
    words: str | Sequence[str] = "",
    table: Mapping[str, Sequence[str]] | None = None,
    mixed: Sequence[str | Mapping[str, Any]] = (),
    folder: Path | None = None,
    thing: Registry | None = None,
    **options: Unpack[Options],
):
    return path


@pytest.mark.parametrize(
    ("name", "wrong", "right", "wanted"),
    [
        ("path", [5, [], {}], ["x", Path("x")], "a string or a path"),
        ("words", [5, [5], {"a": 1}], ["x", ["x"], ()], "a string or a list of strings"),
        ("table", ["x", [], 5], [{}, {"a": ["x"]}, None], "a dict"),
        ("mixed", ["x", 5, {"type": "x"}, [5]], [[], ["x", {"type": "x"}]], "a list"),
        ("folder", [5, []], ["x", Path("x")], "a path"),
        ("thing", [], ["x", 5, [], Registry], ""),
        (
            "pair",
            ["12", 5, [1], [1, 2, 3], [1, 0.5], {}],
            [[1, 2], (1, 2)],
            "a list of 2 whole num",
        ),
    ],
)
def test_strings_lists_and_dicts(name, wrong, right, wanted):
    for value in wrong:
        with pytest.raises(ConfigError, match=rf"^a\.{name}: expected {wanted}.*, got "):
            check_types(others, {name: value}, "a")
    for value in right:
        check_types(others, {name: value}, "a")


def test_an_annotation_of_one_value():
    check_type(None, int, "a")
    with pytest.raises(ConfigError, match=r"^a: expected a list of numbers, got \['x'\]$"):
        check_type(["x"], list[float], "a")
