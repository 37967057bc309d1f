"""The interfaces: one Protocol for each registry.

A component need not inherit from anything here; `rexkit.component_check` checks it when it is
registered. `docs/extend/` has a page with an example for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from rexkit.structures import Annotation, Example, ImageSize, Instance, Prediction, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from rexkit.backends import Generation, Request
    from rexkit.grammar import AnswerForm
    from rexkit.tasks import Question, QuestionArguments

__all__ = [
    "Backend",
    "BatchReward",
    "CombiningTransform",
    "Dataset",
    "Format",
    "Masker",
    "Metric",
    "Model",
    "Parser",
    "Reward",
    "Task",
    "Trainer",
    "Transform",
    "Visualizer",
]


class Dataset(Protocol):
    """A sequence of samples (registry DATASETS; see `docs/extend/dataset.md`).

    A sample must depend on its index alone, since several processes read the same dataset. A
    dataset may have

    - ``skipped``, a list of the `DataError` of each row that it leaves out;
    - ``on_error``, "skip" to leave out the rows too that a task cannot ask about;
    - ``clamped_boxes`` and ``clamped_rows``, the number of boxes that were clamped to their image
      and the places of their rows, for the report at the end of a run; ``left_out_outlines`` and
      ``left_out_rows``, those of polygons and masks that cannot be used;
    - ``row_phrases(index)``, the phrase of every instance of a sample, ignored ones left out, where
      that is known without its image: for sampling by category.
    """

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Return one sample.

        Raises:
            IndexError: ``index`` is not in ``range(len(self))``.
            DataError: the sample cannot be used; the error names its file and line.
        """
        ...


class Transform(Protocol):
    """A change of a sample's image and annotation (TRANSFORMS; see `docs/extend/transform.md`).

    A transform that combines several samples has the method ``combine`` instead, as
    `CombiningTransform` has it.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Return a changed copy of a sample.

        Args:
            sample: must not be changed in place.
            rng: the only source of randomness, so that a run can be repeated.
        """
        ...


class CombiningTransform(Protocol):
    """A change that takes other samples of the same source: the other form of a `Transform`."""

    def combine(
        self, sample: Sample, rng: np.random.Generator, another: Callable[[], Sample]
    ) -> Sample:
        """Return a sample made of one and of others.

        Args:
            sample: must not be changed in place.
            rng: the only source of randomness, so that a run can be repeated.
            another: returns another sample of the source, drawn by ``rng`` at each call, after the
                transforms before this one. It may be the same row again; it must not be changed.
        """
        ...


class Task(Protocol):
    """A kind of question about an image (registry TASK_FNS; see `docs/extend/task.md`).

    `rexkit.tasks.Task` and `rexkit.tasks.PhraseTask` are base classes that have most of this.

    Attributes:
        name: in metrics, files and `Predictor.predict`: "detection".
        results_dir: the folder of its results: "box_eval".
        parser: config of PARSERS that reads its responses.
        metrics: names or configs of METRICS.
    """

    name: ClassVar[str]
    results_dir: ClassVar[str]
    parser: ClassVar[Mapping[str, Any]]
    metrics: ClassVar[Sequence[str | Mapping[str, Any]]]

    def example(self, sample: Sample, rng: np.random.Generator, training: bool) -> Example:
        """Return one question about a sample, with its response and target.

        Args:
            sample: an image with its annotation.
            rng: the only source of randomness.
            training: whether the wording and its order are drawn; in tests both are fixed.

        Raises:
            DataError: the sample has nothing that this task can ask for.
        """
        ...

    def question(
        self, image_size: ImageSize, arguments: QuestionArguments | None = None
    ) -> Question:
        """Return the question for an image without annotation, in the wording that tests use.

        Args:
            image_size: (width, height) in pixels.
            arguments: what to ask for, such as categories.

        Raises:
            ValueError: something the task needs is missing, or it does not accept what is given.
        """
        ...

    def answer_form(self, question: Question) -> AnswerForm | None:
        """Return the form of every response to a question, for constrained decoding, or None."""
        ...


class Parser(Protocol):
    """Turns generated text into a `Prediction` (registry PARSERS; see `docs/extend/parser.md`)."""

    def __call__(self, text: str, image_size: ImageSize) -> Prediction:
        """Return what a text says.

        Args:
            text: as the model generated it, special tokens included. Whatever it is, parsing must
                not raise: what cannot be read goes into ``Prediction.problems``.
            image_size: (width, height) of the original image; coordinates are pixels of it.
        """
        ...


class Reward(Protocol):
    """Scores one prediction (registry REWARDS; see `docs/extend/reward.md`).

    A reward is a function, or a class whose objects are called. A class may have the method
    ``batch(predictions, targets)`` instead, which returns one number for each prediction.
    """

    def __call__(self, prediction: Prediction, target: Annotation) -> float:
        """Return a score in [0, 1], from the prediction and the ground truth of one image."""
        ...


class BatchReward(Protocol):
    """Scores many predictions at once: the other form of a `Reward`."""

    def batch(
        self, predictions: Sequence[Prediction], targets: Sequence[Annotation]
    ) -> Sequence[float]:
        """Return a score in [0, 1] for each prediction."""
        ...


class Metric(Protocol):
    """Scores many predictions (registry METRICS; see `docs/extend/metric.md`).

    `rexkit.metrics.Metric` is a base class. The result must depend neither on the order in which
    images are added nor on how they are split among processes.
    """

    def add(self, prediction: Prediction, target: Annotation) -> None:
        """Add the prediction and the ground truth of one image."""
        ...

    def compute(self) -> dict[str, float]:
        """Return the metrics by name, for everything added so far."""
        ...

    def per_category(self) -> dict[str, dict[str, float]]:
        """Return the metrics of each phrase; empty where phrases are not kept apart."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything added so far, as arrays of numbers or strings."""
        ...

    def absorb(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Add the `state` of another metric of the same class."""
        ...

    def merge(self, other: Any) -> None:
        """Add another metric of the same class."""
        ...


class Visualizer(Protocol):
    """Draws annotations and predictions (VISUALIZERS; see `docs/extend/visualizer.md`)."""

    def draw(self, image: Image, annotation: Annotation) -> Image:
        """Return a copy of an RGB image with an annotation or prediction drawn on it."""
        ...

    def side_by_side(
        self,
        image: Image,
        target: Annotation,
        prediction: Prediction,
        prompt: str = "",
        text: str = "",
    ) -> Image:
        """Return an image of ground truth and prediction beside each other.

        Args:
            image: RGB; must not be changed.
            target: the ground truth.
            prediction: what was predicted.
            prompt: the question, if it is to be shown.
            text: the completion as it was generated, if it is to be shown.
        """
        ...


class Masker(Protocol):
    """Makes masks of boxes, points and polygons (MASKERS; see `docs/extend/masker.md`)."""

    def __call__(self, image: Image, instances: Sequence[Instance]) -> Sequence[Instance]:
        """Return the instances with masks.

        Args:
            image: RGB, upright.
            instances: at least one, without masks; coordinates are pixels of the image.

        Returns:
            Copies in the same order, with ``mask`` as COCO RLE of the image's size. One without a
            mask, where none can be made, is left as it is.
        """
        ...


class Model(Protocol):
    """A vision-language model and its processor (MODELS; see `docs/extend/model_family.md`).

    `rexkit.models.VLM` is a base class; its objects also have ``model``, ``processor``,
    ``tokenizer``, ``encoder`` and ``coordinate_ids``.
    """

    def forbidden_ids(self) -> list[int]:
        """Return the token ids that must never be generated, such as image tokens."""
        ...

    def trainable_by_part(self) -> Iterator[tuple[str, str, Any]]:
        """Yield the part, name and value of every parameter that trains."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write model and processor to a folder, as transformers reads them."""
        ...


class Backend(Protocol):
    """Generates text for requests (registry BACKENDS; see `docs/extend/backend.md`).

    `rexkit.backends.Backend` is a base class.

    Attributes:
        model_source: where its model comes from. "given": the constructor takes ``vlm``, the model
            in this process, and can follow training; "own": it loads a checkpoint itself, by
            ``model``; "remote": a server has it, under the name ``model``.
    """

    model_source: ClassVar[Literal["given", "own", "remote"]]

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Return one generation for each request, in order."""
        ...


class Trainer(Protocol):
    """Trains a model (registry TRAINERS; see `docs/extend/trainer.md`).

    The keyword arguments below come from `rexkit train`; the rest of the constructor's arguments
    are those of the config's ``trainer``.
    """

    def __init__(
        self,
        *,
        vlm: Any,
        train_data: Any,
        work_dir: Any,
        val_data: Any,
        score: Callable[[], dict[str, float]] | None,
        seed: int,
        callbacks: list[Any],
    ) -> None:
        """Prepare training, without starting it.

        Args:
            vlm: the model, of MODELS.
            train_data: a sequence of examples.
            work_dir: the folder that everything is written to.
            val_data: a sequence of examples, or None.
            score: computes the metrics of the validation examples; None without ``val_data``.
            seed: of everything random.
            callbacks: ``transformers.TrainerCallback`` objects, those of plugins.
        """
        ...

    def fit(self, resume: bool = False) -> None:
        """Train to the end and save the model to ``work_dir/final``.

        Args:
            resume: continue from the last whole checkpoint in ``work_dir``.
        """
        ...


class Format(Protocol):
    """A format of annotated images on disk (registry FORMATS; see `docs/extend/format.md`).

    `rexkit.conversion.DataFormat` is a base class that has most of this.
    """

    def recognise(self, path: Path) -> str | None:
        """Return what shows that a file or folder is of this format, or None."""
        ...

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, Any]:
        """Return the splits of a data set by name (`rexkit.conversion.SourceSplit`).

        Args:
            path: the file or folder.
            images: the folder of the images, where the user names one.
            options: arguments of the data set.
        """
        ...

    def writer(self, folder: Path, splits: list[str]) -> Any:
        """Return what writes a data set to a folder (`rexkit.conversion.Writer`)."""
        ...


PROTOCOLS: dict[str, tuple[type, str]] = {
    "DATASETS": (Dataset, "dataset"),
    "TRANSFORMS": (Transform, "transform"),
    "TASK_FNS": (Task, "task"),
    "PARSERS": (Parser, "parser"),
    "REWARDS": (Reward, "reward"),
    "METRICS": (Metric, "metric"),
    "VISUALIZERS": (Visualizer, "visualizer"),
    "MASKERS": (Masker, "masker"),
    "MODELS": (Model, "model_family"),
    "BACKENDS": (Backend, "backend"),
    "TRAINERS": (Trainer, "trainer"),
    "FORMATS": (Format, "format"),
}
"""The Protocol of each registry, and the name of its page in ``docs/extend``."""
