"""Configs: load, override and check.

A config is a Python file as mmengine reads it, with ``_base_`` inheritance. `rexkit.jobs` reads the
keys in `KEYS`; any other top-level name is a variable of the file, which strings may use as
``${name}`` and the command line may override.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from mmengine.config import Config

from rexkit.argument_types import check_type
from rexkit.component_arguments import accepted_arguments, check_names
from rexkit.config_files import read_config
from rexkit.errors import ConfigError, ErrorCollector, UserError, did_you_mean
from rexkit.registry import REGISTRIES, Registry
from rexkit.shipped_configs import config_folder, find_config

logger = logging.getLogger(__name__)

__all__ = ["KEYS", "MIXTURE_KEYS", "SOURCE_KEYS", "load_config"]

KEYS: dict[str, str] = {
    "model": "the model to train or test, of MODELS",
    "train_data": "what to train on: dict(dataset, task, weight), a list of such sources, or a "
    "mixture, dict(sources=[…], temperature, epoch_size, stages, …)",
    "val_data": "what to evaluate on during training, sources as in train_data",
    "test_data": "what to test on, sources as in train_data",
    "trainer": "how to train, of TRAINERS",
    "backend": "how responses are generated in tests, of BACKENDS",
    "parser": "how responses are parsed, of PARSERS; if left out, by the parser of each task",
    "metrics": "a list, of METRICS; if left out, those of the tasks",
    "visualizer": "how images are drawn, of VISUALIZERS",
    "test_before": "whether to test before training too, for comparison",
    "num_images": "how many test images are drawn",
    "work_dir": "where everything is written; work_dirs/<config name> if left out",
    "seed": "the seed of every random choice",
    "requires": "packages that must be installed, such as plugins: a list of names",
    "custom_imports": "modules to import first: dict(imports=[...])",
}

SOURCE_KEYS: dict[str, str] = {
    "dataset": "of DATASETS",
    "task": "of TASK_FNS, or a list of them",
    "transforms": "a list, of TRANSFORMS",
    "weight": "how many times an epoch goes through the dataset",
    "share": "the share of a mixture, relative to those of its other sources",
    "max_examples": "the most examples of an epoch",
    "repeat_threshold": "the fraction of rows below which a category is drawn more often",
    "max_per_category": "the most rows of a category in a pass",
    "name": "the name of the dataset in results",
    "parser": "of PARSERS; if left out, that of the config or of the task",
    "rewards": "a list, of REWARDS; if left out, those of the trainer",
    "reward_name": "short for rewards with one name",
}
"""What a source of ``train_data``, ``val_data`` or ``test_data`` may set."""

MIXTURE_KEYS: dict[str, str] = {
    "sources": "a list of sources",
    "temperature": "makes the shares of small sources larger: size ** (1 / temperature)",
    "epoch_size": "examples of an epoch; left out, the sum of the sources",
    "max_passes": "the most passes through a source in an epoch",
    "stages": "a list of dict(epochs, shares, max_instances, max_phrases, easiest, name)",
    "gradual": "whether shares and easiest go evenly from one stage to the next",
}
"""What a mixture of sources may set; ``sources`` must be there."""

_TYPES: dict[str, Any] = {
    "metrics": Sequence[str | Mapping[str, Any]],
    "requires": Sequence[str],
    "test_before": bool,
    "num_images": int,
}

_DATA_KEYS = ("train_data", "val_data", "test_data")

_REGISTRY_OF = {
    "model": "MODELS",
    "dataset": "DATASETS",
    "datasets": "DATASETS",
    "transforms": "TRANSFORMS",
    "task": "TASK_FNS",
    "trainer": "TRAINERS",
    "backend": "BACKENDS",
    "rollout": "BACKENDS",
    "parser": "PARSERS",
    "metrics": "METRICS",
    "rewards": "REWARDS",
    "visualizer": "VISUALIZERS",
}
"""The registry of the components under a key."""

_EXTRA_KEYS = {"REWARDS": {"weight", "name"}}
"""What may be set for a component besides its arguments."""

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def load_config(
    path: str | Path, overrides: Mapping[str, Any] | None = None, imports: Iterable[str] = ()
) -> Config:
    """Load a config file, apply overrides, fill in ``${name}`` and check every name in it.

    Args:
        path: a Python config file, or the name of a shipped config (see `find_config`).
        overrides: dotted keys to values, such as ``{"trainer.learning_rate": 1e-4}``; a number
            between dots is an index in a list.
        imports: modules to import besides those of ``custom_imports``, which they are added to.

    Returns:
        The config, with ``seed`` and ``work_dir`` set.

    Raises:
        ConfigError: unknown keys, components or arguments, with the nearest known ones; packages
            of ``requires`` that are not installed; modules that cannot be imported; a name
            that no shipped config has. Several errors are reported together.
        FileNotFoundError: there is no such file.
    """
    with values_named():
        return _load(find_config(path), overrides or {}, imports)


@contextmanager
def values_named() -> Iterator[None]:
    """Raise what a value of a wrong type or range leads to as a `ConfigError`.

    Most values are checked where they are used, with their key. What no check foresees becomes an
    error of one line too; its traceback is logged at the level DEBUG.
    """
    try:
        yield
    except (UserError, OSError, ImportError):
        raise
    except Exception as error:
        logger.debug("a config cannot be used", exc_info=True)
        text = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"the config cannot be used, a value has a wrong type or range ({type(error).__name__}:"
            f" {text})"
        ) from error


def _load(path: str | Path, overrides: Mapping[str, Any], imports: Iterable[str]) -> Config:
    # So that a config anywhere can have a shipped one as its _base_: mmengine fills in variables.
    os.environ["REXKIT_CONFIGS"] = str(config_folder())
    config = read_config(path)
    errors = ErrorCollector()
    for name in config:
        near = get_close_matches(name, KEYS, n=1, cutoff=0.8)
        if name not in KEYS and near:
            with errors.collect():
                raise ConfigError(f"{path}: unknown key {name!r}; did you mean {near[0]!r}?")
    _check_installed(config.get("requires", ()), Path(path), errors)
    # Without its packages, every component of theirs would be reported as unknown.
    errors.raise_all()
    _import(config, overrides, imports)
    for key, value in overrides.items():
        with errors.collect():
            _override(config, key, value)
    config.setdefault("seed", 0)
    config.setdefault("work_dir", str(Path("work_dirs") / Path(path).stem))
    variables = {k: v for k, v in config.items() if isinstance(v, (str, int, float))}
    filled: dict[str, Any] = _fill(config, variables, "", errors)
    for name, wanted in _TYPES.items():
        with errors.collect():
            check_type(filled.get(name), wanted, name)
    for place, registry, cfg in _components(filled):
        own = set(cfg) - {"type"} - _EXTRA_KEYS.get(registry.name, set())
        with errors.collect():
            check_names(registry.component(cfg, place), own, place)
    errors.raise_all()
    return Config(filled, filename=str(path))


def require(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key that a job cannot do without.

    Raises:
        ConfigError: the config has no such key.
    """
    if config.get(key) is None:
        raise ConfigError(f"the config has no {key!r}: {KEYS[key]}")
    return config[key]


def import_modules(modules: Iterable[str], key: str) -> None:
    """Import modules that register components; those in the current folder are found too.

    Args:
        modules: dotted names.
        key: where they are named, for messages.

    Raises:
        ConfigError: modules that cannot be imported.
    """
    errors = ErrorCollector()
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    for module in modules:
        with errors.collect():
            try:
                import_module(module)
            except UserError:
                raise
            except Exception as error:  # a module may raise anything
                raise ConfigError(
                    f"{key}: cannot import {module!r}: {str(error) or type(error).__name__}"
                ) from error
    errors.raise_all()


def _import(config: dict[str, Any], overrides: Mapping[str, Any], imports: Iterable[str]) -> None:
    """Import the custom modules first: overrides may set arguments of what they register."""
    if "custom_imports" in overrides:
        config["custom_imports"] = overrides["custom_imports"]
    custom = config.get("custom_imports") or {}
    named = custom.get("imports", ()) if isinstance(custom, Mapping) else None
    if isinstance(named, str):
        named = [named]
    if not isinstance(named, (list, tuple)) or not all(isinstance(n, str) for n in named):
        raise ConfigError(f"custom_imports: must be dict(imports=[names]), got {custom!r}")
    every = list(dict.fromkeys([*named, *imports]))
    if every:
        config["custom_imports"] = {"imports": every}
    import_modules(every, "custom_imports")


def _check_installed(packages: Any, path: Path, errors: ErrorCollector) -> None:
    """Collect an error for each package that is not installed, with how to install it."""
    with errors.collect():
        if not isinstance(packages, (list, tuple)) or not all(
            isinstance(package, str) for package in packages
        ):
            raise ConfigError(f"{path}: requires must be a list of package names, got {packages!r}")
        for package in packages:
            with errors.collect():
                _check_package(package, path)


def _check_package(package: str, path: Path) -> None:
    try:
        distribution(package)
    except PackageNotFoundError as error:
        command = f"pip install {package}"
        # A config of a checkout has the plugins of that checkout beside it.
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
    # What is set already may be replaced without asking its component, which may need a package.
    accepts = isinstance(here, dict) and (last in here or last in _accepted(here, path))
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
        hint = did_you_mean(part, {*here, *_accepted(here, path)})
        raise ConfigError(f"{key}: there is no key {part!r} in {_name(path)}; {hint}")
    return part


def _accepted(cfg: Mapping[str, Any], path: list[str]) -> set[str]:
    """Return what may be set at a place, whether or not the config sets it."""
    if not path:
        return set(KEYS)
    names = [part for part in path if not part.isdigit()]
    if names[-1] in _DATA_KEYS or names[-1] == "sources":
        return set(MIXTURE_KEYS if "sources" in cfg else SOURCE_KEYS)
    registry = _registry_at(path)
    if registry is None or "type" not in cfg:
        return set()
    own = accepted_arguments(registry.component(cfg, ".".join(path))) or set()
    return own | _EXTRA_KEYS.get(registry.name, set())


def _registry_at(path: list[str]) -> Registry | None:
    names = [part for part in path if not part.isdigit()]
    name = _REGISTRY_OF.get(names[-1]) if names else None
    return REGISTRIES[name] if name else None


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


def _fill(value: Any, variables: Mapping[str, Any], place: str, errors: ErrorCollector) -> Any:
    """Replace ``${name}`` in every string."""
    if isinstance(value, Mapping):
        return {
            k: _fill(v, variables, f"{place}.{k}" if place else k, errors) for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return type(value)(_fill(v, variables, f"{place}.{i}", errors) for i, v in enumerate(value))
    if not isinstance(value, str):
        return value

    def replacement(found: re.Match[str]) -> str:
        name = found.group(1)
        with errors.collect():
            if name not in variables:
                hint = did_you_mean(name, variables)
                raise ConfigError(f"{place}: ${{{name}}} has no value; {hint}")
        return str(variables.get(name))

    return _VARIABLE.sub(replacement, value)
