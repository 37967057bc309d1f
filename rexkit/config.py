"""Configs: load, override, check and dump.

A config is a Python file in mmengine's manner, with ``_base_`` inheritance. The jobs read the keys
below; any other top-level name is a variable of the file's own, which strings may use as
``${name}`` and the command line may override.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from mmengine.config import Config

from rexkit.errors import ConfigError, did_you_mean
from rexkit.registry import REGISTRIES, Registry, accepted_arguments, check_names

KEYS: dict[str, str] = {
    "model": "the model to train or test, of MODELS",
    "train_data": "what to train on: dict(dataset, task, weight), or a list of such sources",
    "val_data": "what to score on during training, sources as in train_data",
    "test_data": "what to test on, sources as in train_data",
    "trainer": "how to train, of TRAINERS",
    "backend": "how answers are generated in tests, of BACKENDS",
    "metrics": "a list, of METRICS; left out, those of the tasks",
    "visualizer": "how images are drawn, of VISUALIZERS",
    "test_before": "whether to test before training too, for comparison",
    "num_images": "how many test images are drawn",
    "work_dir": "where everything is written; work_dirs/<config name> if left out",
    "seed": "of every random choice",
    "requires": "packages that must be installed, such as plugins: a list of names",
    "custom_imports": "modules to import first: dict(imports=[...])",
}

_ROOMS = {
    "model": "MODELS",
    "dataset": "DATASETS",
    "datasets": "DATASETS",
    "transforms": "TRANSFORMS",
    "task": "TASK_FNS",
    "trainer": "TRAINERS",
    "backend": "BACKENDS",
    "rollout": "BACKENDS",
    "metrics": "METRICS",
    "rewards": "REWARDS",
    "visualizer": "VISUALIZERS",
}
"""Under which key the components of a registry stand."""

_BESIDES = {"REWARDS": {"weight", "name"}}
"""What may stand beside a component's own arguments."""

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def load_config(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Load a config file, apply overrides, fill in ``${name}`` and check every name in it.

    Args:
        path: a Python config file.
        overrides: dotted keys to values, such as ``{"trainer.learning_rate": 1e-4}``; a number
            between dots is an index in a list.

    Raises:
        ConfigError: a key, component or argument that nothing knows, with the nearest that is; or
            a package of ``requires`` that is not installed.
        FileNotFoundError: there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no config file {path}")
    loaded = Config.fromfile(str(path), import_custom_modules=False)
    config: dict[str, Any] = loaded.to_dict()
    for name in config:
        near = get_close_matches(name, KEYS, n=1, cutoff=0.8)
        if name not in KEYS and near:
            raise ConfigError(f"{path}: unknown key {name!r}; did you mean {near[0]!r}?")
    _check_installed(config.get("requires", ()), Path(path))
    for key, value in (overrides or {}).items():
        _override(config, key, value)
    for module in (config.get("custom_imports") or {}).get("imports", ()):
        import_module(module)
    config.setdefault("seed", 0)
    config.setdefault("work_dir", str(Path("work_dirs") / Path(path).stem))
    variables = {k: v for k, v in config.items() if isinstance(v, (str, int, float))}
    filled: dict[str, Any] = _fill(config, variables, "")
    for place, registry, cfg in _components(filled):
        own = set(cfg) - {"type"} - _BESIDES.get(registry.name, set())
        check_names(registry.component(cfg, place), own, place)
    return Config(filled, filename=str(path))


def require(config: Mapping[str, Any], key: str) -> Any:
    """A key that a job cannot do without.

    Raises:
        ConfigError: the config has no such key.
    """
    if config.get(key) is None:
        raise ConfigError(f"the config has no {key!r}: {KEYS[key]}")
    return config[key]


def _check_installed(packages: Any, path: Path) -> None:
    """Raise `ConfigError` for the first package that is not installed, with how to install it."""
    if isinstance(packages, str) or not all(isinstance(package, str) for package in packages):
        raise ConfigError(f"{path}: requires must be a list of package names, got {packages!r}")
    for package in packages:
        try:
            distribution(package)
        except PackageNotFoundError as error:
            command = f"pip install {package}"
            # Whoever runs a config of a checkout has the plugins of that checkout beside it.
            for folder in path.resolve().parents:
                if (folder / "plugins" / package / "pyproject.toml").is_file():
                    command += f" (or ./plugins/{package} from {folder})"
                    break
            raise ConfigError(f"{path} needs the package {package}: {command}") from error


def _override(config: dict[str, Any], key: str, value: Any) -> None:
    here: Any = config
    *path, last = key.split(".")
    for depth, part in enumerate(path):
        here = here[_step(here, part, path[:depth], key)]
    accepts = isinstance(here, dict) and last in (_accepted(here, path) if path else KEYS)
    here[last if accepts else _step(here, last, path, key)] = value


def _step(here: Any, part: str, path: list[str], key: str) -> str | int:
    """One step of a dotted key: a name in a dict or an index in a list, checked."""
    if isinstance(here, list):
        if part.isdigit() and int(part) < len(here):
            return int(part)
        raise ConfigError(
            f"{key}: {_name(path)} is a list of {len(here)}, {part!r} is no index of it"
        )
    if not isinstance(here, Mapping):
        raise ConfigError(f"{key}: {_name(path)} is {here!r} and has no keys")
    if part not in here:
        hint = did_you_mean(part, {*here, *(_accepted(here, path) if path else KEYS)})
        raise ConfigError(f"{key}: there is no key {part!r} in {_name(path)}; {hint}")
    return part


def _accepted(cfg: Mapping[str, Any], path: list[str]) -> set[str]:
    """What the component at a place takes besides what is set."""
    registry = _registry_at(path)
    if registry is None or "type" not in cfg:
        return set()
    own = accepted_arguments(registry.component(cfg, ".".join(path))) or set()
    return own | _BESIDES.get(registry.name, set())


def _registry_at(path: list[str]) -> Registry | None:
    names = [part for part in path if not part.isdigit()]
    room = _ROOMS.get(names[-1]) if names else None
    return REGISTRIES[room] if room else None


def _name(path: list[str]) -> str:
    return ".".join(path) or "the config"


def _components(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Registry, Any]]:
    """Every component in a config, with its place and registry."""
    if isinstance(value, Mapping):
        registry = _registry_at(list(path))
        if registry is not None and "type" in value:
            yield ".".join(path), registry, value
        for name, child in value.items():
            yield from _components(child, (*path, name))
    elif isinstance(value, (list, tuple)):
        for i, child in enumerate(value):
            if isinstance(child, str) and path and path[-1] == "rewards":
                yield ".".join((*path, str(i))), REGISTRIES["REWARDS"], {"type": child}
            yield from _components(child, (*path, str(i)))


def _fill(value: Any, variables: Mapping[str, Any], place: str) -> Any:
    if isinstance(value, Mapping):
        return {k: _fill(v, variables, f"{place}.{k}" if place else k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_fill(v, variables, f"{place}.{i}") for i, v in enumerate(value))
    if not isinstance(value, str):
        return value

    def put(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in variables:
            raise ConfigError(f"{place}: ${{{name}}} has no value; {did_you_mean(name, variables)}")
        return str(variables[name])

    return _VARIABLE.sub(put, value)
