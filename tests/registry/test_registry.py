"""Registries: building, errors that teach, laziness."""

from __future__ import annotations

import pytest

from rexkit.errors import ConfigError, DataError
from rexkit.registry import DATASETS, METRICS, REGISTRIES, TASK_FNS, Registry
from rexkit.tasks import GroundingTask


@pytest.fixture
def registry() -> Registry:
    made = Registry("TOYS", scope="rexkit")

    @made.register_module()
    class SpinningTop:
        """A toy that turns.

        More words.
        """

        def __init__(self, speed: int, color: str = "red"):
            self.speed, self.color = speed, color

    return made


def test_builds_what_a_config_names(registry):
    top = registry.build(dict(type="SpinningTop", color="blue"), speed=3)
    assert (top.speed, top.color) == (3, "blue")


def test_a_class_may_stand_for_its_name(registry):
    cls = registry.get("SpinningTop")
    assert registry.build(dict(type=cls, speed=1)).speed == 1


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        (dict(type="SpiningTop", speed=1), ["train.toy.type", "'SpinningTop'"]),
        (dict(type="spinningtop", speed=1), ["train.toy.type", "'SpinningTop'"]),
        (dict(type="SpinningTop", sped=1), ["train.toy.sped", "'speed'"]),
        (dict(type="SpinningTop"), ["train.toy", "needs 'speed'"]),
        (dict(speed=1), ["train.toy", "'type'"]),
        ("SpinningTop", ["train.toy", "'type'"]),
    ],
)
def test_errors_name_the_key_and_the_nearest(registry, cfg, words):
    with pytest.raises(ConfigError) as error:
        registry.build(cfg, key="train.toy")
    for word in words:
        assert word in str(error.value)


def test_a_component_of_another_registry_is_pointed_out():
    METRICS.components()
    with pytest.raises(ConfigError, match="There is one in METRICS"):
        DATASETS.get("BoxF1")


def test_the_same_name_twice_is_an_error(registry):
    with pytest.raises(KeyError, match="SpinningTop"):
        registry.register_module(module=registry.get("SpinningTop"))


def test_names_of_the_core_cannot_be_taken_by_early_user_code():
    with pytest.raises(KeyError, match="GroundingTask"):
        TASK_FNS.register_module("GroundingTask", module=type("Mine", (GroundingTask,), {}))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (
            dict(type="ShapesDataset", colors=["octarine"]),
            r"train_data\.dataset\.colors: unknown 'octarine'",
        ),
        (
            dict(type="ConcatDataset", datasets=[dict(type="ShapesDataset", shapes=["cube"])]),
            r"train_data\.dataset\.datasets\.0\.shapes: unknown 'cube'",
        ),
        (
            dict(type="JsonlDataset", ann_file="/nowhere/a.jsonl", image_dir="/nowhere"),
            r"train_data\.dataset\.ann_file: there is no file /nowhere/a\.jsonl",
        ),
    ],
)
def test_an_error_of_a_constructor_names_the_key_and_keeps_its_cause(cfg, message):
    with pytest.raises(ConfigError, match=message) as error:
        DATASETS.build(cfg, key="train_data.dataset")
    assert error.value.__cause__ is not None


def test_a_user_error_of_a_constructor_keeps_its_type_and_gets_the_key(registry):
    @registry.register_module()
    class Broken:
        """Raises."""

        def __init__(self):
            raise DataError("bad row", "file.json:3")

    with pytest.raises(DataError) as error:
        registry.build(dict(type="Broken"), key="train.toy")
    assert str(error.value) == "train.toy: file.json:3: bad row"
    assert error.value.source == "file.json:3"


def test_all_unknown_arguments_are_reported_at_once(registry):
    with pytest.raises(ConfigError) as error:
        registry.build(dict(type="SpinningTop", sped=1, colour="red"), key="toy")
    assert str(error.value).splitlines() == [
        "the config has 2 errors:",
        "- toy.sped: SpinningTop does not accept 'sped'; did you mean 'speed'?",
        "- toy.colour: SpinningTop does not accept 'colour'; did you mean 'color'?",
    ]


@pytest.mark.parametrize("name", REGISTRIES)
def test_every_component_says_what_it_is(name):
    for component in REGISTRIES[name].components().values():
        assert (component.__doc__ or "").strip(), component
