"""Rollouts by a backend: completions sampled with the current weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rexkit._compat.trl import generation_model
from rexkit.backends import Backend, Generation, SamplingParams, model_source
from rexkit.component_arguments import accepted_arguments
from rexkit.errors import ConfigError, UserError
from rexkit.inference.requests import build_request
from rexkit.models.whole_weights import whole_weights
from rexkit.registry import BACKENDS
from rexkit.structures import Example
from rexkit.tasks import Task


class BackendRollouts:
    """Sample completions with a backend, as TRL's ``rollout_func``.

    A backend that shares the model always has the current weights. Another one gets them by
    `Backend.update_weights` before the first completions after a step. Samples depend on the seed,
    the step and the process alone, so a resumed run draws the same.

    Args:
        backend: backend that samples.
        shares_model: whether it generates with the model that is trained.
        starts_alike: whether it has the weights that training starts with.
        tasks: task of each source.
        seed: of sampling.
        forbidden: token ids that no completion may contain.
        keep_logprobs: whether to pass the backend's log-probabilities of its samples to TRL.
    """

    def __init__(
        self,
        backend: Backend,
        shares_model: bool,
        starts_alike: bool,
        tasks: Sequence[Task],
        seed: int,
        forbidden: Sequence[int],
        keep_logprobs: bool,
    ):
        self.backend = backend
        self.shares_model = shares_model
        self.tasks = tasks
        self.seed = seed
        self.forbidden = frozenset(forbidden)
        self.keep_logprobs = keep_logprobs
        self._updated = 0 if starts_alike else -1
        self._step = -1
        self._calls: Counter[bool] = Counter()

    def __call__(self, prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        """Sample a completion for each row of ``trainer.prompt_rows``.

        Args:
            prompts: the same prompts as conversations.
            trainer: the trainer.
        """
        examples: list[Example] = [row["example"] for row in trainer.prompt_rows]
        requests = [
            build_request(e.image, self.tasks[row["source"]], e.question)
            for e, row in zip(examples, trainer.prompt_rows, strict=True)
        ]
        prompt_ids = trainer.tokenize_prompts(prompts)[0]
        self.backend.seed = self._next_seed(trainer)
        if self.shares_model:
            with generation_model(trainer):
                generations = self.backend.generate(requests)
        else:
            if trainer.state.global_step != self._updated:
                inner = trainer.accelerator.unwrap_model(trainer.model)
                self.backend.update_weights(whole_weights(inner))
                self._updated = trainer.state.global_step
            generations = self.backend.generate(requests)
        for example, ids, generation in zip(examples, prompt_ids, generations, strict=True):
            self._check(example, len(ids), generation)
        log_probs = [g.logprobs.tolist() for g in generations if g.logprobs is not None]
        complete = self.keep_logprobs and len(log_probs) == len(generations)
        return {
            "prompt_ids": prompt_ids,
            "completion_ids": [generation.token_ids for generation in generations],
            "logprobs": log_probs if complete else None,
        }

    def _next_seed(self, trainer: Any) -> int:
        """Return a seed that differs for each step, call and process."""
        step, training = int(trainer.state.global_step), bool(trainer.model.training)
        if step != self._step:
            self._step, self._calls = step, Counter()
        call, process = self._calls[training], trainer.accelerator.process_index
        self._calls[training] += 1
        parts = (self.seed, step, process, int(training), call)
        return int(np.random.SeedSequence(parts).generate_state(1)[0])

    def _check(self, example: Example, num_tokens: int, generation: Generation) -> None:
        if generation.error is not None:
            raise UserError(f"{example.source}: {generation.error}")
        name, completion = type(self.backend).__name__, generation.token_ids
        if generation.prompt_tokens != num_tokens:
            raise ValueError(
                f"{example.source}: {name} read the prompt as {generation.prompt_tokens} "
                f"tokens, the trainer as {num_tokens}; both need the same processor, pixel budget "
                "and system prompt"
            )
        if any(i < 0 for i in completion):
            raise ValueError(f"{example.source}: {name} gives no token ids of its completion")
        wrong = self.forbidden.intersection(completion)
        if wrong:
            raise ValueError(
                f"{example.source}: {name} generated the token {min(wrong)}, a vision token or "
                "an unused row of the vocabulary, which the model cannot learn from"
            )


def shares_model(config: Mapping[str, Any], key: str) -> bool:
    """Return whether a backend generates with the model that is trained.

    Raises:
        ConfigError: it has a model of its own and cannot take new weights.
    """
    component = BACKENDS.component(config, key)
    if model_source(component, key) == "given":
        return True
    if getattr(component, "update_weights", None) is Backend.update_weights:
        raise ConfigError(
            f"{key}.type: {component.__name__} cannot take the weights that are trained, so "
            "its completions would be those of another model; use TransformersBackend, or a "
            "backend with update_weights(), such as VLLMBackend"
        )
    return False


def model_arguments(config: Mapping[str, Any], start: str) -> dict[str, Any]:
    """Return the model arguments of a backend that loads its own, where its config lacks them.

    Args:
        config: of BACKENDS.
        start: a folder with the model as training starts.
    """
    key = "trainer.rollout"
    remote = model_source(BACKENDS.component(config, key), key) == "remote"
    name = "checkpoint" if remote else "model"
    return {} if name in config else {name: start}


def sampling_arguments(
    config: Mapping[str, Any], trl: Any, system_prompt: str | None, key: str
) -> dict[str, Any]:
    """Return the config of a backend with the sampling parameters of the trainer.

    Args:
        config: of BACKENDS.
        trl: a `trl.GRPOConfig`.
        system_prompt: as in `Encoder`.
        key: the key of the config, for messages.

    Raises:
        ConfigError: the backend's config sets a sampling parameter itself, or the trainer sets one
            that the backend does not accept.
    """
    component = BACKENDS.component(config, key)
    for name in sorted(_SAME.keys() & config.keys()):
        raise ConfigError(f"{key}.{name}: set trainer.{_SAME[name]}, which holds for both")
    shared = shares_model(config, key)
    for name in ("temperature", "repetition_penalty"):
        changed = getattr(trl, name) != 1
        if changed and trl.vllm_importance_sampling_correction and not shared:
            raise ConfigError(
                f"trainer.{name}: a backend's log-probabilities are those at {name}=1, so "
                "completions sampled otherwise cannot be reweighted; set it to 1.0, or "
                "vllm_importance_sampling_correction=False"
            )
    given: dict[str, Any] = {n: getattr(trl, trl_name) or 0 for n, trl_name in _SAME.items()}
    sampling = SamplingParams(**given)
    ours: dict[str, Any] = {name: getattr(sampling, name) for name in _SAME}
    ours["system_prompt"] = system_prompt or ""  # None would be that of the checkpoint
    if shared:  # what it samples is as likely to the trainer as to itself
        ours |= {"scores": False, "batch_size": trl.per_device_train_batch_size}
    takes = accepted_arguments(component)
    for name in ("top_p", "top_k", "min_p", "repetition_penalty"):
        refused = takes is not None and name not in takes
        if refused and getattr(sampling, name) != getattr(SamplingParams(), name):
            raise ConfigError(
                f"trainer.{name}: {component.__name__} does not accept it; leave it out, or set "
                f"{key} to another backend"
            )
    return {n: value for n, value in ours.items() if takes is None or n in takes} | {**config}


_SAME = {
    "max_new_tokens": "max_completion_length",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
}
