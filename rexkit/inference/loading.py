"""Load a model and its backend from the arguments of `Predictor`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rexkit.backends import Backend, model_source
from rexkit.component_arguments import accepted_arguments
from rexkit.errors import ConfigError, did_you_mean
from rexkit.models import VLM, PretrainedVLM, TinyVLM
from rexkit.models.checkpoint_settings import PUBLIC_IDS, default_sampling
from rexkit.registry import BACKENDS


def load_backend(
    model: str | VLM, backend: str | Backend, options: dict[str, Any]
) -> tuple[VLM | None, Backend]:
    """Return the model, or None where the backend has its own, and the backend.

    Args:
        model: as of `Predictor`.
        backend: as of `Predictor`.
        options: of the backend and of the model, by their names. Sampling parameters that are left
            out are those of the checkpoint, see `CheckpointSettings`.

    Raises:
        ConfigError: no such backend, or an option that neither it nor the model accepts.
    """
    vlm = model if isinstance(model, VLM) else None
    if isinstance(backend, Backend):
        if options:
            raise ConfigError(f"{min(options)}: the backend is built already; set it there")
        return vlm, backend
    cls = _backend_named(backend)
    if model_source(cls, "Predictor") != "given":
        if vlm is not None:
            raise ConfigError(f"{cls.__name__} loads its model itself; give its path or name")
        checkpoint = str(options.get("checkpoint") or model)
        is_known = checkpoint in PUBLIC_IDS or Path(checkpoint).is_dir()
        options = _with_sampling(cls, default_sampling(checkpoint) if is_known else {}, options)
        return None, BACKENDS.build({"type": cls} | options, key="Predictor", model=model)
    if not isinstance(model, VLM):
        model, options = _load_model(model, cls, options)
    options = _with_sampling(cls, model.processor.sampling, options)
    return model, BACKENDS.build({"type": cls} | options, key="Predictor", vlm=model)


def _with_sampling(
    backend: Any, sampling: Mapping[str, Any], options: dict[str, Any]
) -> dict[str, Any]:
    """Return options with the sampling parameters of a checkpoint that a backend accepts."""
    accepted = accepted_arguments(backend)
    given = {n: v for n, v in sampling.items() if accepted is None or n in accepted}
    return {**given, **options}


def _load_model(path: str, backend: Any, options: dict[str, Any]) -> tuple[VLM, dict[str, Any]]:
    """Load a model with the options that are its own, and return the others too."""
    cls: type[VLM] = TinyVLM if path == "tiny" else PretrainedVLM
    by_model = accepted_arguments(cls) or set()
    by_backend = accepted_arguments(backend) or set(options)
    arguments = {k: v for k, v in options.items() if k in by_model and k not in by_backend}
    options = {k: v for k, v in options.items() if k not in arguments}
    for option in options:
        if option not in by_backend:
            hint = did_you_mean(option, (by_backend | by_model) - {"vlm", "path"})
            raise ConfigError(
                f"Predictor: neither {backend.__name__} nor {cls.__name__} accepts "
                f"{option!r}; {hint}"
            )
    if cls is PretrainedVLM:
        arguments["path"] = path
    for choice in ("dtype", "attn_implementation"):
        if choice in by_model:
            arguments.setdefault(choice, "hardware")
    vlm: VLM = cls(**arguments)
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None and arguments.get("device_map") is None:
        torch.nn.Module.to(vlm.model, accelerator)
    return vlm, options


def _backend_named(name: str) -> Any:
    """Return a class of BACKENDS by its name, in any case, with or without "Backend"."""
    known = {n.lower().removesuffix("backend"): c for n, c in BACKENDS.components().items()}
    short = name.lower().removesuffix("backend")
    if short not in known:
        raise ConfigError(
            f"backend: there is no {name!r}; {did_you_mean(short, known)} "
            f"Registered are {', '.join(sorted(known))}."
        )
    return known[short]
