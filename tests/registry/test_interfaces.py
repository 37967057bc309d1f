"""What a component must have is checked when it is registered, and the error says what to add."""

from __future__ import annotations

import abc
import inspect

import pytest

from rexkit import interfaces
from rexkit.backends import Backend
from rexkit.component_check import check_component
from rexkit.errors import InterfaceError
from rexkit.interfaces import PROTOCOLS
from rexkit.metrics import Metric
from rexkit.registry import METRICS, REGISTRIES


def test_every_registry_has_a_protocol():
    assert set(PROTOCOLS) == set(REGISTRIES)


@pytest.mark.parametrize("registry", PROTOCOLS)
def test_every_component_of_the_package_passes(registry):
    for component in REGISTRIES[registry].components().values():
        check_component(registry, component)


def without(base: type, name: str) -> type:
    """A class with what a Protocol declares, but for one method or attribute."""
    methods = {n: m for n, m in vars(base).items() if inspect.isfunction(m)}
    attributes = dict.fromkeys(inspect.get_annotations(base), "value")
    return type("Mine", (), {n: v for n, v in {**attributes, **methods}.items() if n != name})


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        *(("DATASETS", "__len__"), ("DATASETS", "__getitem__"), ("TRANSFORMS", "__call__")),
        *(
            ("TASK_FNS", n)
            for n in ("name", "parser", "metrics", "example", "question", "answer_form")
        ),
        *(("PARSERS", "__call__"), ("REWARDS", "__call__")),
        *(("METRICS", n) for n in ("add", "compute", "per_category", "state", "absorb", "merge")),
        *(("VISUALIZERS", "draw"), ("VISUALIZERS", "side_by_side"), ("MODELS", "forbidden_ids")),
        *(("MODELS", "save"), ("BACKENDS", "generate"), ("TRAINERS", "fit")),
    ],
)
def test_a_missing_part_is_named_with_its_page(registry, name):
    protocol, page = PROTOCOLS[registry]
    check_component(registry, without(protocol, ""))
    with pytest.raises(InterfaceError) as error:
        check_component(registry, without(protocol, name))
    assert f"{registry}: the class Mine" in str(error.value)
    assert repr(name) in str(error.value) or f"method {name}(" in str(error.value)
    assert f"See docs/extend/{page}.md" in str(error.value)


def test_registering_checks():
    with pytest.raises(InterfaceError, match=r"lacks the method absorb\(state\)"):
        METRICS.register_module("Unfinished", module=without(interfaces.Metric, "absorb"))
    assert "Unfinished" not in METRICS


def test_the_missing_method_is_not_its_own_hint():
    """An abstract method is a member of its base class, but nothing that was meant."""

    class Mine(Backend):
        model_source = "own"

        def generates(self, requests):
            """Not the name that is called."""

    with pytest.raises(InterfaceError, match=r"\(is 'generates' meant to be it\?\)"):
        check_component("BACKENDS", Mine)


def test_a_misspelt_method_is_pointed_out():
    class Mine(without(interfaces.Metric, "absorb")):
        def absorbe(self, state):
            """Not the name that is called."""

    with pytest.raises(InterfaceError, match=r"absorb\(state\) \(is 'absorbe' meant to be it\?\)"):
        check_component("METRICS", Mine)


def test_an_abstract_method_of_the_base_class_is_missing():
    class Mine(Metric):
        def add(self, prediction, target):
            """All that there is."""

    with pytest.raises(InterfaceError) as error:
        check_component("METRICS", Mine)
    for name in ("compute()", "state()", "absorb(state)"):
        assert f"lacks the method {name}" in str(error.value)
    assert "per_category" not in str(error.value)
    assert f"{__file__}:" in str(error.value)


def test_a_method_must_take_what_it_is_called_with():
    class Mine:
        def __call__(self, sample):
            """Without a generator."""

    with pytest.raises(
        InterfaceError, match=r"__call__\(sample\), which must take \(sample, rng\)"
    ):
        check_component("TRANSFORMS", Mine)


def test_a_trainer_must_take_what_rexkit_train_gives_it():
    class Mine:
        def __init__(self, vlm, train_data, work_dir):
            """Without the rest."""

        def fit(self, resume=False):
            """Nothing."""

    with pytest.raises(InterfaceError, match=r"must take .*val_data, score, seed, callbacks"):
        check_component("TRAINERS", Mine)


def one(completions, **kwargs):
    """A reward as TRL has them."""


def three(prediction, target, threshold):
    """A reward with an argument of the config."""


def anything(*given):
    """A reward that takes whatever comes."""


class Batch:
    """A reward of many predictions."""

    def batch(self, predictions, targets):
        """Nothing."""


class WrongBatch:
    """A reward that lacks the ground truth."""

    def batch(self, predictions):
        """Nothing."""


def test_rewards_are_functions_or_classes():
    for reward in (three, anything, Batch):
        check_component("REWARDS", reward)
    with pytest.raises(InterfaceError, match=r"function one .* lacks the parameter 'target'"):
        check_component("REWARDS", one)
    with pytest.raises(InterfaceError, match=r"batch\(predictions\), which must take"):
        check_component("REWARDS", WrongBatch)


def test_a_function_elsewhere_builds_the_component():
    def factory(root):
        """Builds a dataset."""

    def parse(text, image_size):
        """A parser itself, which a config cannot build."""

    check_component("DATASETS", factory)
    check_component("PARSERS", factory)
    with pytest.raises(InterfaceError, match="register a class with the method __call__"):
        check_component("PARSERS", parse)


def test_the_prefix_of_the_parameters_tells_a_component_from_its_builder():
    def parse(text, image_size, strict=False):
        """A parser with an option."""

    with pytest.raises(InterfaceError, match="only after a config has built it"):
        check_component("PARSERS", parse)


def test_a_registry_without_a_protocol_takes_anything():
    check_component("PAINTS", object())


def test_the_parameters_of_a_reward_are_positional():
    def named(*, prediction, target):
        """A reward that cannot be called as (prediction, target)."""

    def unnamed(prediction, target, /):
        """A reward with other names of its parameters."""

    check_component("REWARDS", unnamed)
    with pytest.raises(InterfaceError, match=r"'prediction'.*; it lacks the parameter 'target'"):
        check_component("REWARDS", named)


def test_the_constructor_of_object_is_not_that_of_a_trainer():
    class Mine:
        def fit(self, resume=False):
            """Nothing."""

    with pytest.raises(InterfaceError, match=r"lacks the method __init__\("):
        check_component("TRAINERS", Mine)


def test_other_abstract_methods_of_a_base_class_are_missing_too():
    class Base(abc.ABC):
        @abc.abstractmethod
        def load(self):
            """Return something."""

    class Mine(Base):
        def __call__(self, text, image_size):
            """Nothing."""

    with pytest.raises(InterfaceError, match="does not implement the method 'load' of its base"):
        check_component("PARSERS", Mine)


def test_a_static_method_is_called_without_self():
    class Mine:
        @staticmethod
        def __call__(text, image_size):
            """Nothing."""

    check_component("PARSERS", Mine)
