"""The answer about one image, and what can be made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexkit.errors import DataError
from rexkit.formats.coco import to_coco
from rexkit.formats.image_sources import ImageSource, describe_source, open_source
from rexkit.formats.labelme import to_labelme
from rexkit.formats.supervision import to_supervision
from rexkit.structures import ImageSize, Instance, Prediction, Problem

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(eq=False)
class Result:
    """What a model answered about one image, or why it could not be asked.

    Attributes:
        source: the image as it was handed over.
        task: name of the task.
        error: why there is no answer; None where there is one.
        image_size: (width, height) of the original image, upright; coordinates refer to it.
        resized_size: (width, height) the model saw; None where the backend does not tell.
        prompt: the text of the question.
        phrases: what was asked for, in the order of the prompt.
        prediction: what could be read from the answer, in pixels of the original.
        prompt_tokens, output_tokens: lengths; the image counts, and so does the end of the turn.
        generation_seconds: the image's share of its batch's generation.
        seconds: the same with opening and reading.
        truncated: whether the answer was cut off at the token limit.
        allow_urls: whether `image` may fetch it again.
    """

    source: ImageSource = field(repr=False)
    task: str
    error: str | None = None
    image_size: ImageSize | None = None
    resized_size: ImageSize | None = None
    prompt: str = ""
    phrases: Sequence[str] = ()
    prediction: Prediction | None = field(default=None, repr=False)
    prompt_tokens: int = 0
    output_tokens: int = 0
    generation_seconds: float = 0.0
    seconds: float = 0.0
    truncated: bool = False
    allow_urls: bool = field(default=False, repr=False)

    @property
    def success(self) -> bool:
        """Whether there is an answer."""
        return self.error is None

    @property
    def answer(self) -> Prediction:
        """The prediction.

        Raises:
            DataError: there is none; the message says why.
        """
        if self.prediction is None:
            raise DataError(self.error or "there is no answer", self.name)
        return self.prediction

    @property
    def instances(self) -> Sequence[Instance]:
        """What was found, in the order of the answer; raises as `answer` does."""
        return self.answer.instances

    @property
    def problems(self) -> Sequence[Problem]:
        """What was wrong with the answer's text; raises as `answer` does."""
        return self.answer.problems

    @property
    def text(self) -> str:
        """The answer as it came; empty where there is none."""
        return "" if self.prediction is None else self.prediction.text

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the answer by `generation_seconds`."""
        return self.output_tokens / self.generation_seconds if self.generation_seconds > 0 else 0.0

    @property
    def name(self) -> str:
        """What the image is called: its path or URL where it has one."""
        return describe_source(self.source)

    @property
    def image(self) -> Image:
        """The image in its original size, upright, RGB; it is opened anew each time."""
        return open_source(self.source, allow_urls=self.allow_urls)[0]

    def to_dict(self) -> dict[str, Any]:
        """The record that the public Rex-Omni wrapper gives for an image.

        ``extracted_predictions`` is ``{phrase: [{"type", "coords"}, …]}``. Times are this image's
        own share in seconds, where the public wrapper gives those of the whole batch. Without an
        answer ``success`` is False and ``error`` the reason.
        """
        record: dict[str, Any] = {
            "success": self.success,
            "image_size": self.image_size,
            "resized_size": self.resized_size,
            "task": self.task,
            "prompt": self.prompt,
            "raw_output": self.text,
            "extracted_predictions": self.prediction.to_dict() if self.prediction else {},
            "inference_time": self.seconds,
            "num_output_tokens": self.output_tokens,
            "num_prompt_tokens": self.prompt_tokens,
            "generation_time": self.generation_seconds,
            "tokens_per_second": self.tokens_per_second,
        }
        return record if self.success else record | {"error": self.error}

    def to_coco(self, image_id: int = 1) -> dict[str, Any]:
        """A COCO data set of this image: see `rexkit.formats.coco.to_coco`."""
        return to_coco(self.answer, self.name, image_id)

    def to_labelme(self) -> dict[str, Any]:
        """A LabelMe record: see `rexkit.formats.labelme.to_labelme`."""
        return to_labelme(self.answer, Path(self.name).name)

    def to_supervision(self) -> Any:
        """Detections or key points: see `rexkit.formats.supervision.to_supervision`."""
        return to_supervision(self.answer)

    def draw(self, visualizer: Any = None) -> Image:
        """The image with what was found on it.

        Args:
            visualizer: of VISUALIZERS; left out, a `PillowVisualizer` that lists what is absent.
        """
        if visualizer is None:
            from rexkit.visualizers import PillowVisualizer

            visualizer = PillowVisualizer(show_absent=True)
        drawn: Image = visualizer.draw(self.image, self.answer)
        return drawn

    def show(self, visualizer: Any = None) -> None:
        """Draw it and open it in the system's viewer."""
        self.draw(visualizer).show(title=self.name)

    def save(self, path: str | Path, visualizer: Any = None) -> None:
        """Write the drawn image, or the record of `to_dict` where the path ends in ``.json``."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".json":
            path.write_text(json.dumps(self.to_dict(), ensure_ascii=False) + "\n", "utf-8")
        else:
            self.draw(visualizer).save(path)
