"""The images of a test, loaded again and drawn."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexkit.config_files import read_plain
from rexkit.errors import DataError, UserError
from rexkit.evaluation.analysis import Case
from rexkit.examples import ExampleDataset, build_examples
from rexkit.formats.images import decode_image, read_image
from rexkit.formats.predictions import PredictionRecord
from rexkit.registry import VISUALIZERS
from rexkit.structures import Example

if TYPE_CHECKING:
    from PIL import Image


class SampleImages:
    """Draws the samples of a test, ground truth beside prediction.

    A test keeps its ``config.json`` beside its results, or a training in the folder above them. The
    sample of a record is loaded again from that config's ``test_data`` by its index, so synthetic
    and transformed images come back too. Where there is no config, or it gives another sample,
    the file that the record names is opened. Nothing in the folder is executed: ``config.py`` is
    not read, and modules that the config names are not imported.

    Args:
        root: the folder of the results.
        visualizer: of VISUALIZERS; left out, that of ``config.json``, or a `PillowVisualizer`.
    """

    __test__ = False  # it is no test, though pytest would take it for one

    def __init__(self, root: Path, visualizer: Any = None):
        self.root = root
        self._visualizer = visualizer or self._build_visualizer()

    def __call__(self, case: Case) -> Image.Image | str:
        """Return the drawn image of a case, or a text that says why there is none."""
        record = case.record
        try:
            image = self.find(record)
        except (UserError, OSError) as error:
            return str(error)
        drawn: Image.Image = (
            self._visualizer.draw(image, record.prediction)
            if record.target is None
            else self._visualizer.side_by_side(image, record.target, record.prediction)
        )
        return drawn

    def find(self, record: PredictionRecord) -> Image.Image:
        """Return the image that a record is about, RGB.

        Raises:
            UserError: neither the config nor the record leads to it.
            FileNotFoundError: files of the data set are gone.
        """
        size = None if record.prediction is None else record.prediction.image_size
        examples = self._examples
        if examples is not None and record.index is not None and record.index < len(examples):
            example: Example = examples[record.index]
            found = (example.source, example.prompt, example.target.image_size)
            if found == (record.source, record.prompt, size):
                return example.image
        if record.image_path is None:
            raise UserError(
                f"{record.source} has no image file of its own, and "
                + (
                    f"there is no config.json in {self.root} or above it to load it by"
                    if examples is None
                    else "config.json gives another sample at its index"
                )
            )
        image = decode_image(read_image(Path(record.image_path)))
        if image.size != size:
            raise DataError(
                f"the image is now {image.size[0]}x{image.size[1]} pixels, not as it was tested",
                record.image_path,
            )
        return image

    @cached_property
    def _config(self) -> dict[str, Any] | None:
        for folder in (self.root, self.root.parent):
            if (folder / "config.json").is_file():
                return read_plain(folder / "config.json")
        return None

    @cached_property
    def _examples(self) -> ExampleDataset | None:
        config = self._config
        if config is None or not config.get("test_data"):
            return None
        try:
            return self._build(config)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(f"config.json gives no test data: {error}") from error

    def _build(self, config: dict[str, Any]) -> ExampleDataset:
        return build_examples(config["test_data"], "test_data", config.get("seed", 0), False)

    def _build_visualizer(self) -> Any:
        try:
            cfg = self._config and self._config.get("visualizer")
        except (UserError, OSError):  # the images say why the config cannot be read
            cfg = None
        return VISUALIZERS.build(cfg or {"type": "PillowVisualizer"}, key="visualizer")
