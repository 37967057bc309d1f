"""The base class of backends: requests in, generations out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rexkit.backends.sampling import SamplingParams
from rexkit.errors import ConfigError, UserError
from rexkit.grammar.forms import AnswerForm
from rexkit.grammar.vocabulary import Vocabulary
from rexkit.structures import Example

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Floats = NDArray[np.float32]

ModelSource = Literal["given", "own", "remote"]
"""Where a backend's model comes from; see `Backend`."""


@dataclass(slots=True, eq=False)
class Request:
    """One question about one image.

    Attributes:
        image: RGB.
        prompt: text of the question.
        constraint: the answer format, as `Task.answer_form` gives it; a backend that constrains
            generates nothing outside it.
    """

    image: Image
    prompt: str
    constraint: AnswerForm | None = None

    def form(self) -> AnswerForm:
        """Return the constraint, for a backend with ``constrain=True``.

        Raises:
            ValueError: the request has none.
        """
        if self.constraint is None:
            raise ValueError(
                f"constrain: the request {self.prompt[:60]!r} has no constraint; give it its "
                "task's answer_form(), or set constrain=False"
            )
        return self.constraint


@dataclass(slots=True, eq=False)
class BinStatistics:
    """Statistics of the bin distribution, one value for each token of a completion.

    Each describes the distribution that the token was drawn from, before any constraint or
    temperature. The last five are meaningful only where the token is a coordinate, and describe the
    distribution over the 1,000 bins alone. Near bins are those at most
    `rexkit.backends.recorder.NEAR` from the one that was chosen.

    Attributes:
        none: (T,) probability of ``None``.
        coordinate: (T,) probability of all coordinates together.
        mean, spread: (T,) expected bin and standard deviation.
        near: (T,) probability of the near bins.
        near_mean, near_spread: (T,) as ``mean`` and ``spread``, of the near bins.
    """

    none: Floats
    coordinate: Floats
    mean: Floats
    spread: Floats
    near: Floats
    near_mean: Floats
    near_spread: Floats


@dataclass(slots=True, eq=False)
class Generation:
    """One generated completion.

    Attributes:
        text: the completion, special tokens included, without the end of the turn.
        token_ids: the generated tokens, the end of the turn included if it was reached; -1 for
            each where a server returns only their number.
        prompt_tokens: length of the prompt in tokens, image included.
        seconds: time of its batch, divided by the number of completions in the batch.
        truncated: whether it was cut off at the token limit.
        logprobs: (T,) log-probability of each token before any constraint or temperature, if the
            backend gives it.
        bins: bin statistics of each token, if the backend gives them; see
            `rexkit.backends.scores`.
        error: why a server refused this request alone; the completion is then empty.
    """

    text: str
    token_ids: list[int]
    prompt_tokens: int
    seconds: float
    truncated: bool
    logprobs: Floats | None = None
    bins: BinStatistics | None = None
    error: UserError | None = None


class Backend(ABC):
    """Generates completions for requests, without interpreting them.

    Attributes:
        model_source: where the model comes from, which also determines how a backend is built.
            "given": the constructor takes ``vlm``, a model in this process, and the backend uses
            that very object, also while it is trained. "own": the constructor takes ``model``, a
            folder or hub id, and loads it. "remote": a server has the model; the constructor takes
            ``model``, its name on the server, and ``checkpoint``, a folder with its tokenizer and
            image settings, or None. Every class must set it.
        sampling: how tokens are chosen. The backends of rexkit accept its fields as arguments.
        vocabulary: of the model, where the backend gives log-probabilities; scores need it.
        seed: of sampling: an equal seed gives equal completions of equal requests. Set another one
            before a call to get other samples.
    """

    model_source: ClassVar[ModelSource]
    sampling: SamplingParams = SamplingParams()
    vocabulary: Vocabulary | None = None
    seed: int = 0

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Return one generation for each request, in order."""

    def check(self, example: Example) -> None:  # noqa: B027 - optional
        """Check that a completion can be generated for an example; by default, all are accepted.

        Tests call this before they generate, so that one image costs itself alone.

        Raises:
            DataError: such as an image that is thinner than the model accepts.
        """

    def update_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Replace the model's weights, as reinforcement learning does after each step.

        Backends with ``model_source`` "own" or "remote" may implement this method.

        Args:
            weights: every weight of the model by its name in transformers, tied ones once. They
                are on the trainer's device, and created while the iterator is read.

        Raises:
            UserError: this backend cannot take weights.
        """
        raise UserError(
            f"{type(self).__name__} cannot take new weights; save a checkpoint and start a backend "
            "with it"
        )


def model_source(component: Any, key: str) -> ModelSource:
    """Return where a class of BACKENDS gets its model from.

    Args:
        component: the class.
        key: where the config names it, for messages.

    Raises:
        ConfigError: the class does not set ``model_source``, or sets something else.
    """
    source: Any = getattr(component, "model_source", None)
    known = get_args(ModelSource)
    if source not in known:
        name = getattr(component, "__name__", str(component))
        raise ConfigError(
            f"{key}: {name}.model_source is {source!r}; the class must set it to one of "
            f"{', '.join(map(repr, known))}, see rexkit.backends.Backend"
        )
    found: ModelSource = source
    return found
