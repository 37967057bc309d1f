"""What a backend is: questions about pictures in, generated text out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(slots=True, eq=False)
class Request:
    """One question about one picture.

    Attributes:
        image: RGB.
        prompt: the question in words, as `PhraseTask.prompt` spells it.
    """

    image: Image
    prompt: str


@dataclass(slots=True, eq=False)
class Generation:
    """One generated answer.

    Attributes:
        text: the answer, special tokens included, without the end of the turn.
        token_ids: what was generated, the end of the turn included if it was reached; -1 where a
            server tells only how many.
        prompt_tokens: how long the question was, picture included.
        seconds: time of the batch it was generated in, divided by the answers of the batch.
        truncated: whether it was cut off at the token limit.
    """

    text: str
    token_ids: list[int]
    prompt_tokens: int
    seconds: float
    truncated: bool


class Backend(ABC):
    """Generates answers; it knows nothing of what they mean."""

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer every request, in order."""
