"""Sources and their mixture from ``train_data``, ``val_data`` and ``test_data`` of a config."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rexkit.argument_types import check_type
from rexkit.config import MIXTURE_KEYS, SOURCE_KEYS
from rexkit.datasets.skipped_rows import describe_skipped
from rexkit.errors import ConfigError, ErrorCollector, did_you_mean
from rexkit.mixing.mixture import Mixture, read_mixture
from rexkit.mixing.source import Source
from rexkit.registry import DATASETS, PARSERS, TASK_FNS, TRANSFORMS, errors_at

_SAMPLING = {"share": 0.0, "max_examples": 1, "repeat_threshold": 0.0, "max_per_category": 1}
"""The keys of sources that say what is drawn in training, with their least values."""

_TYPES: dict[str, Any] = {
    "name": str,
    "weight": float,
    "rewards": Sequence[str | Mapping[str, Any]],
    "reward_name": str,
}


def build_sources(
    cfg: Any, key: str, training: bool, parser: Mapping[str, Any] | None
) -> tuple[list[Source], Mixture | None]:
    """Build the sources of a config, and read how they are mixed.

    Args:
        cfg: a source, a list of sources, or ``dict(sources=[…], …)``.
        key: its name in the config, for messages.
        training: whether it is ``train_data``.
        parser: config of PARSERS for the sources without one; if left out, the tasks' own.

    Returns:
        The sources, and their mixture; None where the config has no mixture.

    Raises:
        ConfigError: a source or a key that cannot be used; several errors are reported together.
    """
    mixture, folder = None, key
    errors = ErrorCollector()
    if isinstance(cfg, Mapping) and "sources" in cfg:
        folder = f"{key}.sources"
        listed = cfg["sources"]
        if not isinstance(listed, Sequence) or isinstance(listed, str):
            raise ConfigError(f"{folder}: must be a list of sources, got {listed!r}")
        with errors.collect():
            mixture = _mixture(cfg, key, training)
        cfg = listed
    many = isinstance(cfg, Sequence) and not isinstance(cfg, str)
    if many and not cfg:
        raise ConfigError(f"{folder}: an empty list has no examples; give at least one source")
    with errors.collect():
        _check_shares(cfg if many else [cfg], folder, many, mixture)
    sources: list[Source] = []
    for i, source in enumerate(cfg if many else [cfg]):
        with errors.collect():
            sources += _sources(source, f"{folder}.{i}" if many else key, training, parser)
    errors.raise_all()
    return sources, mixture


def _mixture(cfg: Mapping[str, Any], key: str, training: bool) -> Mixture | None:
    """Return how the sources of a config are mixed; None where nothing says it."""
    if not training and (mixing := [name for name in MIXTURE_KEYS if name in cfg][1:]):
        raise ConfigError(
            f"{key}.{mixing[0]}: only train_data is mixed; give {key} a list of sources"
        )
    mixture = read_mixture(cfg, key, len(cfg["sources"]))
    return mixture if training else None


def _check_shares(sources: Sequence[Any], folder: str, many: bool, mixture: Mixture | None) -> None:
    """Check that all sources of a mixture have shares, or none, and nothing else any."""
    given = [isinstance(source, Mapping) and source.get("share") is not None for source in sources]
    if not any(given):
        return
    place = f"{folder}.{given.index(True)}" if many else folder
    if mixture is None:
        raise ConfigError(f"{place}.share: needs a mixture, train_data=dict(sources=[…])")
    if mixture.temperature is not None:
        raise ConfigError(f"{place}.share: give either shares or a temperature")
    if not all(given):
        missing = f"{folder}.{given.index(False)}"
        raise ConfigError(f"{missing}.share: missing; {place} has one, so every source needs one")


def _sources(cfg: Any, key: str, training: bool, parser: Mapping[str, Any] | None) -> list[Source]:
    """Build the sources that one entry of a config describes: one, or one for each task."""
    if not isinstance(cfg, Mapping):
        raise ConfigError(f"{key}: expected dict(dataset=…, task=…), got {cfg!r}")
    errors = ErrorCollector()
    parts: dict[str, Any] = {}
    for name, build in {"dataset": _dataset, "transforms": _transforms, "task": _tasks}.items():
        with errors.collect():
            parts[name] = build(cfg.get(name), f"{key}.{name}")
    with errors.collect():
        _check_source(cfg, key, training)
    own = cfg.get("parser")
    with errors.collect():
        used = own or parser
        parts["parser"] = used and PARSERS.build(used, key=f"{key}.parser" if own else "parser")
    errors.raise_all()
    tasks = parts.pop("task")
    kept = ("weight", "name", "rewards", *_SAMPLING)
    parts |= {name: cfg[name] for name in kept if cfg.get(name) is not None}
    if "reward_name" in cfg:
        parts["rewards"] = [cfg["reward_name"]]
    parts["key"] = key
    return [
        Source(task=task, **parts) for task in ([tasks] if training and len(tasks) > 1 else tasks)
    ]


def _dataset(cfg: Any, key: str) -> Any:
    if cfg is None:
        raise ConfigError(f"{key}: missing; a source needs a dataset and a task")
    dataset = DATASETS.build(cfg, key=key)
    with errors_at(key, cfg):
        size = len(dataset)
    if not size:
        skipped = getattr(dataset, "skipped", ())
        why = f"{describe_skipped(skipped, len(skipped))}" if skipped else "it has no samples"
        raise ConfigError(f"{key}: no row of the dataset can be used; {why}")
    return dataset


def _transforms(cfg: Any, key: str) -> list[Any]:
    check_type(cfg, Sequence[Mapping[str, Any]], key)
    errors = ErrorCollector()
    transforms = []
    for number, transform in enumerate(cfg or ()):
        with errors.collect():
            transforms.append(TRANSFORMS.build(transform, key=f"{key}.{number}"))
    errors.raise_all()
    return transforms


def _tasks(cfg: Any, key: str) -> list[Any]:
    if cfg is None:
        raise ConfigError(f"{key}: missing; a source needs a dataset and a task")
    if not isinstance(cfg, (list, tuple)):
        return [TASK_FNS.build(cfg, key=key)]
    if not cfg:
        raise ConfigError(f"{key}: an empty list asks nothing; name at least one task")
    errors = ErrorCollector()
    tasks = []
    for number, task in enumerate(cfg):
        with errors.collect():
            tasks.append(TASK_FNS.build(task, key=f"{key}.{number}"))
    errors.raise_all()
    return tasks


def _check_sampling(
    cfg: Mapping[str, Any], key: str, name: str, least: int | float, training: bool
) -> None:
    value, whole = cfg.get(name), type(least) is int
    if value is None:
        return
    if not training:
        raise ConfigError(f"{key}.{name}: only train_data is sampled; leave it out")
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or not (value >= least if whole else least < value < math.inf):
        wanted = f"a whole number of {least} or more" if whole else f"a number above {least:g}"
        raise ConfigError(f"{key}.{name}: must be {wanted}, got {value!r}")


def _check_source(cfg: Mapping[str, Any], key: str, training: bool) -> None:
    """Check the keys of a source, and the values that need nothing to be built."""
    errors = ErrorCollector()
    for unknown in cfg.keys() - SOURCE_KEYS.keys():
        with errors.collect():
            hint = did_you_mean(unknown, SOURCE_KEYS)
            raise ConfigError(f"{key}.{unknown}: a source has no {unknown!r}; {hint}")
    for key_name, wanted in _TYPES.items():
        with errors.collect():
            check_type(cfg.get(key_name), wanted, f"{key}.{key_name}")
    errors.raise_all()
    name, weight = cfg.get("name") or "", cfg.get("weight")
    with errors.collect():
        if name != Path(name).name or name == "..":
            raise ConfigError(f"{key}.name: {name!r} cannot be the name of a folder")
    with errors.collect():
        if weight is not None and not 0 < weight < math.inf:
            raise ConfigError(f"{key}.weight: must be a number above 0, got {weight!r}")
    for key_name, least in _SAMPLING.items():
        with errors.collect():
            _check_sampling(cfg, key, key_name, least, training)
    with errors.collect():
        if cfg.get("share") is not None and "weight" in cfg:
            raise ConfigError(f"{key}.weight: give either a share or a weight")
    with errors.collect():
        if cfg.get("rewards") and "reward_name" in cfg:
            raise ConfigError(f"{key}: give either rewards or reward_name")
    errors.raise_all()
