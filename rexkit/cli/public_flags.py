"""Flags of the public Rex-Omni scripts, as overrides of a config.

``finetuning/scripts/sft.sh`` passes flags to transformers (``finetuning/engine/argument.py`` lists
those besides its own), ``finetuning/scripts/grpo.sh`` keys to verl (``finetuning/verl/configs/
config.yaml``). What has a counterpart is mapped to it, and everything else is refused by name.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from rexkit.cli.script_flags import Kinds, ScriptFlags, parse_value
from rexkit.component_arguments import accepted_arguments
from rexkit.errors import ErrorCollector, UserError, near_misses

logger = logging.getLogger(__name__)

CONFIG_FLAGS = ("config", "data.config_path")
"""Flags that name the config file."""

_TEXT, _WHOLE, _TRUTH = frozenset([str]), frozenset([int]), frozenset([bool])

_RENAMED: dict[str, tuple[str, Kinds | None]] = {
    "model_name_or_path": ("model.path", _TEXT),
    "model_max_length": ("model.max_length", _WHOLE),
    "min_pixels": ("model.min_pixels", _WHOLE),
    "max_pixels": ("model.max_pixels", _WHOLE),
    "seed": ("seed", _WHOLE),
    "data_flatten": ("trainer.packing", _TRUTH),
    "warmup_ratio": ("trainer.warmup_steps", None),
    "data.seed": ("seed", _WHOLE),
    "data.min_pixels": ("model.min_pixels", _WHOLE),
    "data.max_pixels": ("model.max_pixels", _WHOLE),
    "data.max_response_length": ("trainer.max_completion_length", None),
    "algorithm.kl_coef": ("trainer.beta", None),
    "worker.actor.max_grad_norm": ("trainer.max_grad_norm", None),
    "worker.actor.model.model_path": ("model.path", _TEXT),
    "worker.actor.model.enable_gradient_checkpointing": ("trainer.gradient_checkpointing", None),
    "worker.actor.optim.lr": ("trainer.learning_rate", None),
    "worker.actor.optim.weight_decay": ("trainer.weight_decay", None),
    "worker.actor.optim.lr_warmup_ratio": ("trainer.warmup_steps", None),
    "worker.rollout.n": ("trainer.num_generations", None),
    "worker.rollout.temperature": ("trainer.temperature", None),
    "worker.rollout.top_p": ("trainer.top_p", None),
    "worker.rollout.gpu_memory_utilization": ("trainer.rollout.gpu_memory_utilization", None),
    "worker.rollout.tensor_parallel_size": ("trainer.rollout.tensor_parallel_size", None),
    "trainer.experiment_name": ("trainer.run_name", None),
    "trainer.save_checkpoint_path": ("work_dir", _TEXT),
    "trainer.total_epochs": ("trainer.num_train_epochs", None),
    "trainer.max_steps": ("trainer.max_steps", None),
    "trainer.save_limit": ("trainer.save_total_limit", None),
}
"""Flag -> key of the config, and the types of its value; None for those of the trainer."""

_TUNED = {
    "tune_mm_vision": "vision_tower",
    "tune_mm_mlp": "projector",
    "tune_mm_llm": "language_model",
}
"""Flag -> the part of the model that it trains or not."""

_BATCHES = {
    "worker.actor.global_batch_size": "prompts of an update",
    "data.rollout_batch_size": "prompts that are sampled at once",
    "worker.actor.micro_batch_size_per_device_for_update": "completions of a forward pass",
}

_FREEZE = "worker.actor.model.freeze_vision_tower"

_SPECIAL = {
    *_TUNED,
    *_BATCHES,
    *(_FREEZE, "trainer.save_freq", "local_rank"),
    *("trainer.n_gpus_per_node", "trainer.nnodes"),
}

_WITHOUT_EFFECT = {
    "worker.actor.micro_batch_size_per_device_for_experience": "completions are scored in the "
    "batches of the update",
}

_REFUSED = {
    "use_soft_ce_for_coords": "give --coord_sigma, the spread of the coordinate targets in bins",
    "max_tolerance_pixel": "the targets have no cut-off; --coord_sigma sets their spread",
    "cache_dir": "set the environment variable HF_HOME",
    "dataset_use": "the config names the data, as train_data",
    "base_interval": "rexkit trains on images, not on videos",
    "video_max_frames": "rexkit trains on images, not on videos",
    "video_min_frames": "rexkit trains on images, not on videos",
    "video_max_frame_pixels": "rexkit trains on images, not on videos",
    "video_min_frame_pixels": "rexkit trains on images, not on videos",
    "resume_from_checkpoint": "give --resume, which continues from the last complete checkpoint",
    "data.format_prompt": "prompts are those of the task; set train_data.task.templates by "
    "--cfg-options",
    "worker.reward.reward_function": "set train_data.rewards in the config",
    "trainer.load_checkpoint_path": "give --resume, or the checkpoint as "
    "worker.actor.model.model_path",
    "trainer.logger": "give --report_to wandb",
    "trainer.project_name": "set the environment variable WANDB_PROJECT",
    "trainer.val_freq": "give --eval_strategy steps and --eval_steps, with val_data in the config",
}


def public_kinds(name: str, of_trainer: Callable[[str], Kinds]) -> Kinds:
    """Return the types of a flag's value, of the public scripts or of the trainer."""
    if name in _TUNED or name == _FREEZE:
        return _TRUTH
    target, kinds = _RENAMED.get(name, (f"trainer.{name}", None))
    return of_trainer(target.rpartition(".")[2]) if kinds is None else kinds


def config_of(found: ScriptFlags) -> str | None:
    """Take the config file out of the flags, and return it.

    verl's own defaults (``config=….yaml``) are no config of rexkit's and are left out.

    Raises:
        UserError: two flags name different files.
    """
    named = [" ".join(found.flags.pop(flag)) for flag in CONFIG_FLAGS if flag in found.flags]
    for key in CONFIG_FLAGS:
        value = found.settings.pop(key, None)
        if value is not None and value.endswith((".yaml", ".yml")):
            logger.info("%s=%s is not read: the config of rexkit has all values", key, value)
        elif value is not None:
            named.append(value)
    if len(set(named)) > 1:
        raise UserError(f"the config is named twice: {' and '.join(named)}")
    return named[0] if named else None


def flag_overrides(
    found: ScriptFlags, config: Mapping[str, Any], of_trainer: Callable[[str], Kinds]
) -> dict[str, Any]:
    """Return the overrides of the config that the flags stand for.

    Args:
        found: the flags.
        config: the config without them.
        of_trainer: as `rexkit.cli.script_flags.trainer_kinds` returns it.

    Raises:
        UserError: a flag is unknown, refused, or has a wrong value; several are reported together.
    """
    given = {f"--{name}": (name, values) for name, values in found.flags.items()}
    given |= {f"{key}=": (key, [value]) for key, value in found.settings.items()}
    accepted = _trainer_arguments(config)
    errors = ErrorCollector()
    overrides: dict[str, Any] = {}
    special: dict[str, tuple[str, Any]] = {}
    for option, (name, values) in given.items():
        with errors.collect():
            if name in _REFUSED:
                raise UserError(f"{option}: is no flag of rexkit train; {_REFUSED[name]}")
            if name in _WITHOUT_EFFECT:
                logger.info("%s has no effect: %s", option, _WITHOUT_EFFECT[name])
            elif name in _SPECIAL:
                kinds = _TRUTH if name in _TUNED or name == _FREEZE else frozenset()
                special[name] = option, parse_value(values, kinds, option)
            elif values != ["null"]:  # how YAML leaves a value out
                key, _ = _RENAMED.get(name, (f"trainer.{name}", None))
                if name not in _RENAMED and name not in accepted:
                    raise UserError(f"{option}: {_unknown(option, name, accepted)}")
                kinds = public_kinds(name, of_trainer)
                overrides[key] = parse_value(values, kinds, option)
    for handle in (_freeze, _batch_sizes, _saving, _processes):
        with errors.collect():
            overrides |= handle(special, config, overrides)
    errors.raise_all()
    return overrides


def _trainer_arguments(config: Mapping[str, Any]) -> set[str]:
    from rexkit.config import require
    from rexkit.registry import TRAINERS

    component = TRAINERS.component(dict(require(config, "trainer")), "trainer")
    return (accepted_arguments(component) or set()) - {
        *("vlm", "train_data", "val_data", "score", "work_dir", "seed", "callbacks", "visualizer")
    }


def _unknown(option: str, name: str, accepted: set[str]) -> str:
    if not option.startswith("--"):
        return (
            "is no key of the public script that rexkit knows; --cfg-options KEY=VALUE sets keys "
            "of the config"
        )
    known = {*accepted, *(flag for flag in (*_RENAMED, *_SPECIAL) if "." not in flag)}
    near = [f"--{hit}" for hit in near_misses(name, known)]
    if near:
        return f"is no flag; did you mean {' or '.join(near)}?"
    return (
        "is neither a flag of rexkit train nor an argument of the trainer; --cfg-options KEY=VALUE "
        "sets any key of the config"
    )


Special = Mapping[str, tuple[str, Any]]
"""Flag -> the option as it was given, and its value."""


def _freeze(
    special: Special, config: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parts of the model that do not train; those not named stay as they are."""
    trained = {part: special[flag][1] for flag, part in _TUNED.items() if flag in special}
    if _FREEZE in special:
        trained["vision_tower"] = not special[_FREEZE][1]
    if not trained:
        return {}
    frozen = [p for p in (config.get("model") or {}).get("freeze", ()) if not trained.get(p)]
    frozen += [part for part, train in trained.items() if not train and part not in frozen]
    return {"model.freeze": frozen}


def _batch_sizes(
    special: Special, config: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Return TRL's batch sizes, in completions, for verl's, in prompts."""
    given = {name: special[name] for name in _BATCHES if name in special}
    for option, value in given.values():
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{option}: expected a whole number above 0, got {value!r}")
    if not given:
        return {}
    trainer = config.get("trainer") or {}
    sizes = {name: value for name, (_, value) in given.items()}
    prompts, sampled, forward = (sizes.get(name) for name in _BATCHES)
    group = overrides.get("trainer.num_generations", trainer.get("num_generations", 8))
    forward = forward or trainer.get("per_device_train_batch_size", 8)
    found: dict[str, Any] = {"trainer.per_device_train_batch_size": forward}
    if prompts is not None:
        step = forward * int(os.environ.get("WORLD_SIZE", "1"))
        if prompts * group % step:
            raise UserError(
                f"worker.actor.global_batch_size: {prompts} prompts of {group} completions are no "
                f"multiple of {step}, the completions of a forward pass in all processes"
            )
        found["trainer.gradient_accumulation_steps"] = prompts * group // step
    if sampled is not None and sampled != prompts:
        found["trainer.generation_batch_size"] = sampled * group
    return found


def _saving(
    special: Special, config: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "trainer.save_freq" in special:
        steps = special["trainer.save_freq"][1]
        found["trainer.save_strategy"] = "steps" if steps > 0 else "no"
        if steps > 0:
            found["trainer.save_steps"] = steps
    if overrides.get("trainer.save_total_limit") == -1:
        found["trainer.save_total_limit"] = None
    return found


def _processes(
    special: Special, config: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Check the numbers of processes, which whoever starts them decides."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    nodes = int(os.environ.get("WORLD_SIZE", "1")) // local
    for name, running, flag in (
        ("trainer.n_gpus_per_node", local, "--nproc-per-node"),
        ("trainer.nnodes", nodes, "--nnodes"),
    ):
        option, wanted = special.get(name, ("", running))
        if wanted != running:
            raise UserError(
                f"{option}: {running} is running; start with torchrun {flag} {wanted} "
                "tools/train.py"
            )
    return {}
