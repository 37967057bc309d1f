"""Configs: overrides, variables, and errors that name the key."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from paths import CONFIGS

from rexkit.backends import VLLMBackend
from rexkit.cli.options import parse_override
from rexkit.config import load_config
from rexkit.errors import ConfigError
from rexkit.registry import METRICS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "job.py"
    path.write_text(
        'data_root = "data/here"\n'
        'train_data = [dict(dataset=dict(type="ShapesDataset", size=4),\n'
        '                   task=dict(type="GroundingTask", templates=["Find {phrases}."]))]\n'
        'note = "${data_root}/notes"\n'
    )
    return path


def test_variables_follow_overrides(file):
    assert load_config(file).note == "data/here/notes"
    assert load_config(file, {"data_root": "/elsewhere"}).note == "/elsewhere/notes"


def test_a_config_elsewhere_extends_a_shipped_one(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        '_base_ = "{{$REXKIT_CONFIGS:configs}}/sft/grounding.py"\n'
        "train_data = dict(dataset=dict(size=5000, seed=1))\n"
    )
    config, shipped = load_config(file), load_config("grounding")
    assert config.train_data.dataset == shipped.train_data.dataset | dict(size=5000, seed=1)
    assert config.trainer == shipped.trainer
    assert Path(config.work_dir) == Path("work_dirs/mine")


def test_defaults(file):
    config = load_config(file)
    assert config.seed == 0
    assert Path(config.work_dir) == Path("work_dirs/job")


def test_overrides_reach_into_lists_and_unset_arguments(file):
    config = load_config(
        file, {"train_data.0.dataset.size": 9, "train_data.0.dataset.seed": 5, "seed": 3}
    )
    assert config.train_data[0].dataset == dict(type="ShapesDataset", size=9, seed=5)
    assert config.seed == 3


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("train_dat.0", ["'train_data'"]),
        ("train_data.0.dataset.sise", ["'sise'", "train_data.0.dataset", "'size'"]),
        ("train_data.0.dataste.size", ["'dataset'"]),
        ("train_data.0.wieght", ["'weight'"]),
        ("train_data.3.dataset", ["list of 1"]),
        ("data_root.x", ["'data/here'"]),
    ],
)
def test_a_misspelt_override_names_the_nearest_key(file, key, words):
    with pytest.raises(ConfigError) as error:
        load_config(file, {key: 1})
    for word in (key, *words):
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("trian_data = dict()", ["'trian_data'", "'train_data'"]),
        ('model = dict(type="TinyVLN")', ["model.type", "'TinyVLM'"]),
        ('model = dict(type="TinyVLM", wieghts=None)', ["model.wieghts", "'weights'"]),
        (
            'trainer = dict(type="SFTTrainer", learning_rat=1)',
            ["trainer.learning_rat", "'learning_rate'"],
        ),
        ('x = "${data_rot}"', ["x:", "data_rot", "'data_root'"]),
    ],
)
def test_a_misspelt_name_in_the_file_is_found_before_anything_is_built(file, line, words):
    file.write_text(f"{file.read_text()}{line}\n")
    with pytest.raises(ConfigError) as error:
        load_config(file)
    for word in words:
        assert word in str(error.value)


def test_a_set_type_is_replaced_without_the_package_that_its_component_needs(monkeypatch):
    @classmethod
    def missing(cls) -> set[str]:
        raise ConfigError("No module named 'vllm'")

    monkeypatch.setattr(VLLMBackend, "extra_arguments", missing)
    with pytest.raises(ConfigError, match=r"rollout\.dtype: TransformersBackend does not accept"):
        load_config("grpo/rex_omni_3b", {"trainer.rollout.type": "TransformersBackend"})
    whole = {"trainer.rollout": {"type": "TransformersBackend"}}
    assert load_config("grpo/rex_omni_3b", whole)["trainer"]["rollout"] == whole["trainer.rollout"]


def test_all_errors_of_a_config_are_reported_at_once(file):
    file.write_text(
        file.read_text()
        + 'model = dict(type="TinyVLN")\n'
        + 'trainer = dict(type="SFTTrainer", learning_rat=1, muon_lrr=1)\n'
        + 'metrics = [dict(type="BoxF1", thresholds=[0.5])]\n'
        + 'visualizer = dict(type="PillowVisualiser")\n'
        + 'x = "${data_rot}"\n'
    )
    with pytest.raises(ConfigError) as error:
        load_config(file, {"train_data.0.wieght": 2})
    lines = str(error.value).splitlines()[1:]
    for key in (
        *("model.type:", "trainer.learning_rat:", "trainer.muon_lrr:", "metrics.0.thresholds:"),
        *("visualizer.type:", "x:", "train_data.0.wieght:"),
    ):
        assert sum(line.startswith(f"- {key}") for line in lines) == 1, key
    assert len(lines) == 7


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("weight", 0.5),
        ("name", "shapes"),
        ("rewards", ["format"]),
        ("transforms", [dict(type="ColorJitter")]),
        ("parser", dict(type="SpanParser")),
    ],
)
def test_the_keys_of_a_source_can_be_overridden_though_the_config_does_not_set_them(
    file, key, value
):
    assert load_config(file, {f"train_data.0.{key}": value}).train_data[0][key] == value
    text = file.read_text().replace("train_data = [", "train_data = ").replace(")]\n", ")\n")
    file.write_text(text + "test_data = train_data\n")
    config = load_config(file, {f"train_data.{key}": value})
    assert config.train_data[key] == value
    assert key not in config.test_data


def test_a_module_is_imported_from_the_current_folder_and_kept_in_the_config(
    file, tmp_path, monkeypatch
):
    (tmp_path / "module_of_a_test.py").write_text(
        "from rexkit.metrics import BoxF1\n"
        "from rexkit.registry import METRICS\n"
        "@METRICS.register_module()\n"
        "class MetricOfATest(BoxF1):\n"
        "    def __init__(self, size=1): ...\n"
    )
    monkeypatch.chdir(tmp_path)
    try:
        config = load_config(
            file, {"metrics": [dict(type="MetricOfATest", size=2)]}, ["module_of_a_test"]
        )
        assert config.custom_imports.imports == ["module_of_a_test"]
    finally:
        METRICS.module_dict.pop("MetricOfATest", None)
    with pytest.raises(ConfigError, match=r"custom_imports: cannot import 'no_such_module'"):
        load_config(file, imports=["no_such_module"])


def test_a_resolved_config_loads_to_the_same(file, tmp_path):
    config = load_config(file, {"data_root": "/elsewhere"})
    config.dump(str(tmp_path / "resolved.py"))
    assert load_config(tmp_path / "resolved.py").to_dict() == config.to_dict()


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("[!_]*/**/*.py")), ids=lambda p: str(p.relative_to(CONFIGS))
)
def test_every_config_of_the_repository_loads(path, monkeypatch):
    monkeypatch.syspath_prepend(CONFIGS.parent / "tools")  # a config's custom_imports
    if path.name == "gui.py" and not find_spec("rexkit_plugin_gui"):
        # tests/test_plugin_gui.py loads it where the plugin is installed.
        with pytest.raises(ConfigError, match="needs the package rexkit-plugin-gui"):
            load_config(path)
        return
    options = {}
    if path == CONFIGS / "grpo" / "rex_omni_3b.py" and not find_spec("vllm"):
        with pytest.raises(ConfigError, match=r"(?i)vllm"):
            load_config(path)
        options = {"trainer.rollout": {"type": "TransformersBackend"}}
    config = load_config(path, options)
    assert config.model
    assert config.get("train_data") or config.get("test_data") or config.get("stages")


def test_a_package_that_a_config_requires_is_asked_for_before_anything_is_looked_up(file, tmp_path):
    (tmp_path / "plugins" / "rexkit-plugin-nowhere").mkdir(parents=True)
    (tmp_path / "plugins" / "rexkit-plugin-nowhere" / "pyproject.toml").touch()
    text = file.read_text()
    file.write_text(f'{text}requires = ["numpy", "rexkit-plugin-nowhere"]\nmodel = dict(type="X")')
    message = (
        r"job\.py needs the package rexkit-plugin-nowhere: pip install rexkit-plugin-nowhere "
        rf"\(or \./plugins/rexkit-plugin-nowhere from {tmp_path}\)$"
    )
    with pytest.raises(ConfigError, match=message):
        load_config(file, {"model.size": 3})
    file.write_text(f'{text}requires = ["rexkit-plugin-elsewhere"]\n')
    with pytest.raises(ConfigError, match=r"pip install rexkit-plugin-elsewhere$"):
        load_config(file)
    file.write_text(f'{text}requires = ["numpy"]\n')
    assert load_config(file).requires == ["numpy"]
    file.write_text(f'{text}requires = "numpy"\n')
    with pytest.raises(ConfigError, match="requires must be a list"):
        load_config(file)


def test_missing_file():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.py"):
        load_config("nowhere.py")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("a=1", 1),
        ("a=1e-4", 1e-4),
        ("a=(1, 2)", (1, 2)),
        ("a=None", None),
        ("a=none", None),
        ("a=true", True),
        ("a=x/y", "x/y"),
        ("a=b=c", "b=c"),
        ("a='1'", "1"),
    ],
)
def test_parse_override(word, value):
    assert parse_override(word) == ("a", value)
