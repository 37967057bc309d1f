"""Records of predictions, which people correct in the tools of their choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rexkit.conversion.data_format import DataFormat, SourceSplit, first_row
from rexkit.datasets import PredictionsDataset
from rexkit.formats.predictions import PREDICTIONS
from rexkit.registry import FORMATS

_KEYS = {"raw_response", "extracted_predictions"}


@FORMATS.register_module("predictions")
class PredictionsFormat(DataFormat):
    """Records of ``rexkit predict`` and ``rexkit test``: predictions for people to correct."""

    predicted = True

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        file = path / PREDICTIONS if path.is_dir() else path
        row = first_row(file) if file.suffix == ".jsonl" else None
        return f"the keys of the first row of {file}" if row and row.keys() >= _KEYS else None

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return the only split; names of images begin at the folder that holds all of them."""
        dataset = PredictionsDataset(path, images, **options)
        return {"": SourceSplit(dataset, images or dataset.common_folder())}
