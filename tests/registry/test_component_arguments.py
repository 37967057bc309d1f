"""Which arguments a component accepts and needs, and the strings that a Literal allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from rexkit.component_arguments import (
    accepted_arguments,
    check_arguments,
    check_choices,
    check_numbers,
)
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
        check_choices(component, {"color": "gren"}, "a.b")
    check_choices(component, {"color": "red"}, "a.b")


@pytest.mark.parametrize(
    ("component", "arguments"),
    [
        (Optional, {"color": None}),
        (Fields, {"number": "all"}),
        (Fields, {"number": 3}),
        (function, {"color": 0.5}),
        (function, {"color": True}),
        (open_ended, {"color": "octarine"}),
        (hidden, {"color": "octarine"}),
        (Plain, {"other": "octarine"}),
        (print, {"sep": "octarine"}),
    ],
)
def test_other_arguments_pass(component, arguments):
    check_choices(component, arguments, "a.b")


def test_several_errors_are_reported_together():
    def both(color: Color, mode: Literal["fast", "slow"]):
        return color, mode

    with pytest.raises(ConfigError) as error:
        check_choices(both, {"color": "x", "mode": "fats"}, "a")
    assert str(error.value).count("must be") == 2


def test_a_registry_checks_them():
    registry = Registry("PAINTS", scope="rexkit", locations=[])
    registry.register_module(module=Optional)
    with pytest.raises(ConfigError, match=r"^train\.0\.color: must be"):
        registry.build({"type": "Optional", "color": "blue"}, key="train.0")
    assert registry.build({"type": "Optional", "color": "red"}).color == "red"


class Open:
    def __init__(self, path: str, **kwargs: int):
        """Accept any argument."""


class Listed(Open):
    @classmethod
    def extra_arguments(cls) -> list[str]:
        return ["lr"]


def variadic(*paths: str, size: int = 1):
    return paths


@pytest.mark.parametrize(
    ("component", "accepted"),
    [
        (Optional, {"color"}),
        (variadic, {"size"}),
        (Open, None),
        (Listed, {"path", "lr"}),
    ],
)
def test_the_arguments_that_a_component_accepts(component, accepted):
    assert accepted_arguments(component) == accepted


@pytest.mark.parametrize(
    ("component", "arguments", "given"),
    [
        (Open, ["path", "anything"], []),
        (Open, [], ["path"]),
        (Listed, ["lr"], ["path"]),
        (variadic, [], []),
    ],
)
def test_arguments_of_the_config_and_of_the_code_are_enough(component, arguments, given):
    check_arguments(component, arguments, "a.b", given)


@pytest.mark.parametrize(
    ("arguments", "key", "message"),
    [
        ([], "a.b", r"^a\.b: Listed needs 'path'$"),
        ([], "", r"^Listed needs 'path'$"),
        (["path", "lrr"], "a.b", r"^a\.b\.lrr: Listed does not accept 'lrr'; did you mean 'lr'"),
        (["path", "lrr"], "", r"^lrr: Listed does not accept 'lrr'"),
    ],
)
def test_a_missing_or_unknown_argument_is_named_with_its_key(arguments, key, message):
    with pytest.raises(ConfigError, match=message):
        check_arguments(Listed, arguments, key)


def test_only_the_strings_of_a_literal_are_named():
    def mixed(size: Literal["all", 3]):
        return size

    with pytest.raises(ConfigError, match=r"^size: must be 'all', got 'al'; did you mean 'all'"):
        check_choices(mixed, {"size": "al"}, "")


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
    ("either", ["x"], [True, 0.5], "a number"),
    ("size", [], ["x", 1, [1]], ""),
    ("sizes", [], ["x", 1, [1]], ""),
    ("unknown", [], ["x", 1, [1]], ""),
]


@pytest.mark.parametrize(("name", "wrong", "right", "wanted"), NUMBERS)
def test_numbers(name, wrong, right, wanted):
    for value in wrong:
        with pytest.raises(ConfigError, match=rf"^a\.b\.{name}: expected {wanted}, got "):
            check_numbers(numbers, {name: value}, "a.b")
    for value in right:
        check_numbers(numbers, {name: value}, "a.b")
