"""Which arguments a component accepts and needs."""

from __future__ import annotations

import pytest

from rexkit.component_arguments import (
    accepted_arguments,
    check_arguments,
)
from rexkit.errors import ConfigError


class Plain:
    def __init__(self, color: str = "red"):
        self.color = color


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
        (Plain, {"color"}),
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
