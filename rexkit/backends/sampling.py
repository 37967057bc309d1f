"""Sampling parameters, the same names and defaults for every backend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from rexkit.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SamplingParams:
    r"""How tokens are chosen; the defaults decode greedily.

    A backend passes every field explicitly, so that no default of a checkpoint's
    ``generation_config.json`` or of a server replaces one. All backends apply the constraint and
    presence first, then the penalty, then temperature, ``top_k``, ``top_p`` and ``min_p``.

    Args:
        temperature: 0 takes the most probable token each time; above 0, logits are divided by it
            and tokens are sampled.
        top_p: samples from the most probable tokens whose probabilities sum to this, in (0, 1].
        top_k: samples from this many most probable tokens; 0 from all.
        min_p: samples from the tokens that are at least this times as probable as the most probable
            one, in [0, 1].
        repetition_penalty: divides the logits of tokens that occurred in the prompt or the
            completion where they are positive, and multiplies them where they are negative; 1
            changes nothing.
        max_new_tokens: the longest completion; longer ones are cut off and marked as truncated.
        stop: texts that end a completion; it contains neither them nor what follows.

    Raises:
        ConfigError: a value is out of range or of another type.

    >>> SamplingParams(temperature=0.7, stop="\n").stop
    ('\n',)
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 1024
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check("temperature", self.temperature, Real, "a number, 0 (greedy) or more", low=0)
        _check("top_p", self.top_p, Real, "a number above 0 and at most 1", above=0, high=1)
        _check("top_k", self.top_k, Integral, "a whole number, 0 (all tokens) or more", low=0)
        _check("min_p", self.min_p, Real, "a number from 0 to 1", low=0, high=1)
        _check("repetition_penalty", self.repetition_penalty, Real, "a number above 0", above=0)
        _check("max_new_tokens", self.max_new_tokens, Integral, "a whole number above 0", above=0)
        stop = (self.stop,) if isinstance(self.stop, str) else self.stop
        if not isinstance(stop, (tuple, list)) or not all(isinstance(s, str) and s for s in stop):
            raise ConfigError(f"stop: expected a list of texts, none empty, got {self.stop!r}")
        object.__setattr__(self, "stop", tuple(stop))

    @classmethod
    def names(cls) -> set[str]:
        """Return the names of the fields, which backends accept as arguments."""
        return {field.name for field in fields(cls)}

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[SamplingParams, dict[str, Any]]:
        """Return the parameters that are among some options, and the other options."""
        names = cls.names()
        own = {name: value for name, value in options.items() if name in names}
        return cls(**own), {n: value for n, value in options.items() if n not in names}

    def for_transformers(self) -> dict[str, Any]:
        """Return the arguments of ``transformers.GenerationConfig``.

        The repetition penalty is not among them, see
        `rexkit.backends.repetition_penalty.RepetitionPenalty`.
        """
        sampled = self.temperature > 0
        return {
            "do_sample": sampled,
            # Without sampling these are unused, and transformers warns of any but its defaults.
            "temperature": self.temperature if sampled else 1.0,
            "top_p": self.top_p if sampled else 1.0,
            "top_k": self.top_k if sampled else 50,
            "min_p": self.min_p if sampled and self.min_p else None,
            "max_new_tokens": self.max_new_tokens,
            "stop_strings": list(self.stop) or None,
        }

    def for_vllm(self) -> dict[str, Any]:
        """Return the arguments of ``vllm.SamplingParams``."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "max_tokens": self.max_new_tokens,
            "stop": list(self.stop),
            "detokenize": bool(self.stop),  # vLLM finds stop texts only in what it detokenizes
        }

    def for_openai(self, extended: bool = True) -> dict[str, Any]:
        """Return the fields of a request for an OpenAI-compatible server.

        Args:
            extended: whether the server accepts ``top_k``, ``min_p`` and ``repetition_penalty``,
                which OpenAI's API lacks; otherwise they are omitted at their neutral values.
        """
        extension = {
            "top_k": self.top_k or -1,  # vLLM and SGLang both take -1 as all tokens
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
        }
        neutral = {"top_k": -1, "min_p": 0, "repetition_penalty": 1}
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_new_tokens,
            "stop": list(self.stop) or None,
            **{n: value for n, value in extension.items() if extended or value != neutral[n]},
        }

    def cut_at_stop(self, text: str) -> tuple[str, bool]:
        """Return a text up to the first stop text in it, and whether there was one."""
        ends = [offset for offset in map(text.find, self.stop) if offset >= 0]
        return (text[: min(ends)], True) if ends else (text, False)


def check_stop(sampling: SamplingParams, constrain: bool) -> None:
    """Raise a `ConfigError` where stop texts would cut off a constrained completion."""
    if constrain and sampling.stop:
        raise ConfigError(
            "stop: a constrained completion ends where its answer format does; leave out stop, or "
            "set constrain=False"
        )


def _check(
    name: str,
    value: Any,
    kind: type,
    expected: str,
    low: float = -math.inf,
    above: float = -math.inf,
    high: float = math.inf,
) -> None:
    right_type = isinstance(value, kind) and not isinstance(value, bool)
    if not (right_type and math.isfinite(value) and low <= value <= high and value > above):
        raise ConfigError(f"{name}: expected {expected}, got {value!r}")
