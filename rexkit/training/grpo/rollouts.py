"""Rollouts by a backend: the answers that reinforcement learning learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rexkit._compat.trl import generation_model
from rexkit.backends import Backend, SamplingParams, model_source
from rexkit.errors import ConfigError
from rexkit.inference.requests import build_request
from rexkit.models.whole_weights import whole_weights
from rexkit.registry import BACKENDS, accepted_arguments
from rexkit.structures import Example
from rexkit.tasks import Task


class BackendRollouts:
    """TRL's ``rollout_func``: every prompt is answered by a backend with the weights of the moment.

    A backend that was given the model itself has them. Another one gets them by
    `Backend.update_weights` before the first answers after a step. What is drawn depends on the
    seed, the step and the process alone, so a resumed run draws the same.

    Args:
        backend: who answers.
        shares_model: whether it answers with the model that is trained.
        starts_alike: whether it has the weights that training starts with.
        tasks: of each source.
        seed: of sampling.
        forbidden: token ids that no answer may hold.
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
        """Answer ``trainer.asked``, whose prompts as conversations are given."""
        examples: list[Example] = [row["example"] for row in trainer.asked]
        requests = [
            build_request(e.image, self.tasks[row["source"]], e.question)
            for e, row in zip(examples, trainer.asked, strict=True)
        ]
        prompt_ids = trainer.tokenize_prompts(prompts)[0]
        self.backend.seed = self._next_seed(trainer)
        if self.shares_model:
            with generation_model(trainer):
                answers = self.backend.generate(requests)
        else:
            if trainer.state.global_step != self._updated:
                inner = trainer.accelerator.unwrap_model(trainer.model)
                self.backend.update_weights(whole_weights(inner))
                self._updated = trainer.state.global_step
            answers = self.backend.generate(requests)
        for example, ids, answer in zip(examples, prompt_ids, answers, strict=True):
            self._check(example, len(ids), answer.prompt_tokens, answer.token_ids)
        log_probs = [a.logprobs.tolist() for a in answers if a.logprobs is not None]
        told = self.keep_logprobs and len(log_probs) == len(answers)
        return {
            "prompt_ids": prompt_ids,
            "completion_ids": [answer.token_ids for answer in answers],
            "logprobs": log_probs if told else None,
        }

    def _next_seed(self, trainer: Any) -> int:
        """Another one for each call of a step, and for each process."""
        step, training = int(trainer.state.global_step), bool(trainer.model.training)
        if step != self._step:
            self._step, self._calls = step, Counter()
        call, process = self._calls[training], trainer.accelerator.process_index
        self._calls[training] += 1
        parts = (self.seed, step, process, int(training), call)
        return int(np.random.SeedSequence(parts).generate_state(1)[0])

    def _check(self, example: Example, tokens: int, seen: int, answer: Sequence[int]) -> None:
        name = type(self.backend).__name__
        if seen != tokens:
            raise ValueError(
                f"{example.source}: {name} read the question as {seen} tokens, the trainer as "
                f"{tokens}; they must have the same processor, image budget and system prompt"
            )
        if any(i < 0 for i in answer):
            raise ValueError(f"{example.source}: {name} does not tell the tokens of its answer")
        wrong = self.forbidden.intersection(answer)
        if wrong:
            raise ValueError(
                f"{example.source}: {name} answered with the token {min(wrong)}, a vision token or "
                "an unused row of the vocabulary, which the model cannot learn from"
            )


def shares_model(config: Mapping[str, Any], key: str) -> bool:
    """Whether a backend answers with the model it is given.

    Raises:
        ConfigError: it has one of its own, and cannot be given other weights.
    """
    component = BACKENDS.component(config, key)
    if model_source(component, key) == "given":
        return True
    if getattr(component, "update_weights", None) is Backend.update_weights:
        raise ConfigError(
            f"{key}.type: {component.__name__} cannot be given the weights that are trained, so "
            "its answers would be those of another model; use TransformersBackend, or a backend "
            "with update_weights(), such as VLLMBackend"
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
        key: where the config stands, for messages.

    Raises:
        ConfigError: the backend is told to sample otherwise; or TRL is told to sample in a way
            that backends do not know.
    """
    component = BACKENDS.component(config, key)
    for name in sorted(_SAME.keys() & config.keys()):
        raise ConfigError(f"{key}.{name}: set trainer.{_SAME[name]}, which holds for both")
    for name, neutral in _NEUTRAL.items():
        if getattr(trl, name) not in (None, neutral):
            raise ConfigError(
                f"trainer.{name}: backends do not sample so; leave it out, or set {key}=None"
            )
    shared = shares_model(config, key)
    for name in ("temperature", "repetition_penalty"):
        changed = getattr(trl, name) != 1
        if changed and trl.vllm_importance_sampling_correction and not shared:
            raise ConfigError(
                f"trainer.{name}: a backend's log-probabilities are those at {name}=1, so "
                "completions sampled otherwise cannot be reweighted; set it to 1.0, or "
                "vllm_importance_sampling_correction=False"
            )
    told: dict[str, Any] = {n: getattr(trl, trl_name) or 0 for n, trl_name in _SAME.items()}
    sampling = SamplingParams(**told)
    ours: dict[str, Any] = {name: getattr(sampling, name) for name in _SAME}
    ours["system_prompt"] = system_prompt
    if shared:  # what it samples is as likely to the trainer as to itself
        ours |= {"scores": False, "batch_size": trl.per_device_train_batch_size}
    takes = accepted_arguments(component)
    for name in ("top_p", "top_k", "repetition_penalty"):
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
    "repetition_penalty": "repetition_penalty",
}
_NEUTRAL = {"min_p": 0.0}
