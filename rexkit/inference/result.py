"""The result of a prediction for one image, and its conversions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexkit.errors import DataError
from rexkit.formats.coco import to_coco
from rexkit.formats.image_sources import ImageSource, describe_source, open_source
from rexkit.formats.images import Color
from rexkit.formats.json_lines import json_text
from rexkit.formats.labelme import to_labelme
from rexkit.formats.supervision import to_supervision
from rexkit.structures import ImageSize, Instance, Prediction, Problem
from rexkit.whole_files import write_whole

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(eq=False)
class Result:
    """The prediction for one image, or the reason why there is none.

    Attributes:
        source: the image as it was given.
        task: name of the task.
        error: why there is no prediction, or None.
        image_size: (width, height) of the original image, upright; coordinates refer to it.
        resized_size: (width, height) of the model's input; None where the backend does not say.
        prompt: the question in words.
        phrases: what was asked for, in the order of the prompt.
        prediction: parsed from the completion, in pixels of the original image.
        prompt_tokens: length of the prompt in tokens, image included.
        output_tokens: length of the completion in tokens, the end of the turn included.
        generation_seconds: the image's share of its batch's generation.
        seconds: the same, with opening the image and parsing.
        truncated: whether the completion was cut off at the token limit.
        allow_urls: whether `image` may fetch a URL again.
        background: the colour behind transparent pixels of `image`.
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
    background: Color = field(default="white", repr=False)

    @property
    def success(self) -> bool:
        """Whether there is a prediction."""
        return self.error is None

    @property
    def valid_prediction(self) -> Prediction:
        """The prediction; as `prediction`, but never None.

        Raises:
            DataError: there is none; the message says why.
        """
        if self.prediction is None:
            raise DataError(self.error or "there is no prediction", self.name)
        return self.prediction

    @property
    def instances(self) -> Sequence[Instance]:
        """The predicted instances, in the order of the completion; raises as `valid_prediction`."""
        return self.valid_prediction.instances

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong with the completion; raises as `valid_prediction`."""
        return self.valid_prediction.problems

    @property
    def text(self) -> str:
        """The completion as it was generated; empty where there is none."""
        return "" if self.prediction is None else self.prediction.text

    @property
    def tokens_per_second(self) -> float:
        """`output_tokens` divided by `generation_seconds`."""
        return self.output_tokens / self.generation_seconds if self.generation_seconds > 0 else 0.0

    @property
    def name(self) -> str:
        """The name of the image: its path or URL if it has one."""
        return describe_source(self.source)

    @property
    def image(self) -> Image:
        """The image in its original size, upright, RGB; it is opened anew each time."""
        return open_source(self.source, self.allow_urls, self.background)

    def to_dict(self) -> dict[str, Any]:
        """Return the record that the public Rex-Omni wrapper gives for an image.

        ``extracted_predictions`` is ``{phrase: [{"type", "coords"}, …]}``. Times are this image's
        own share in seconds, where the public wrapper gives those of the whole batch. Without a
        prediction ``success`` is False and ``error`` the reason.
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
        """Return a COCO dataset of this image; see `rexkit.formats.coco.to_coco`."""
        return to_coco(self.valid_prediction, self.name, image_id)

    def to_labelme(self) -> dict[str, Any]:
        """Return a LabelMe record; see `rexkit.formats.labelme.to_labelme`."""
        return to_labelme(self.valid_prediction, Path(self.name).name)

    def to_supervision(self) -> Any:
        """Return detections or key points; see `rexkit.formats.supervision.to_supervision`."""
        return to_supervision(self.valid_prediction)

    def draw(self, visualizer: Any = None) -> Image:
        """Return the image with the prediction drawn on it.

        Args:
            visualizer: of VISUALIZERS; left out, a `PillowVisualizer` that lists absent phrases.
        """
        if visualizer is None:
            from rexkit.visualizers import PillowVisualizer

            visualizer = PillowVisualizer(show_absent=True)
        drawn: Image = visualizer.draw(self.image, self.valid_prediction)
        return drawn

    def show(self, visualizer: Any = None) -> None:
        """Draw the prediction and open it in the system's image viewer."""
        self.draw(visualizer).show(title=self.name)

    def save(self, path: str | Path, visualizer: Any = None) -> None:
        """Write the drawn image, or the record of `to_dict` where the path ends in ``.json``."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".json":
            write_whole(path, json_text(self.to_dict()) + "\n")
        else:
            self.draw(visualizer).save(path)
