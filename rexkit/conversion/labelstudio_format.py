"""Label Studio's JSON: a list of tasks for each split."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rexkit.conversion.data_format import (
    DataFormat,
    SourceSplit,
    Writer,
    by_split,
    first_files,
    image_root,
)
from rexkit.conversion.features import FEATURES
from rexkit.conversion.rows import RowFile
from rexkit.datasets import LabelStudioDataset
from rexkit.formats.json_lines import json_text
from rexkit.formats.json_lists import first_of_json_list
from rexkit.formats.labelstudio_tasks import LabellingConfig, is_labelstudio_task, to_labelstudio
from rexkit.registry import FORMATS
from rexkit.whole_files import whole_file, write_whole


@FORMATS.register_module("labelstudio")
class LabelStudioFormat(DataFormat):
    """Label Studio's JSON export: one list of tasks, images in a folder."""

    options = frozenset({"orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return the file that shows it."""
        files = first_files(path, "*.json")
        return next((f"the tasks in {file}" for file in files if _has_tasks(file)), None)

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return a split for each file; of a single one, that without a name."""
        found = [path] if path.is_file() else sorted(path.glob("*.json"))
        files = {file.stem: file for file in found if path.is_file() or _has_tasks(file)}
        if not files:
            raise FileNotFoundError(f"there is no JSON list of tasks in {path}")
        return {
            split: SourceSplit(
                LabelStudioDataset(file, images, **options),
                image_root(file.parent, split, images),
            )
            for split, file in by_split(files).items()
        }

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return the writer."""
        return LabelStudioWriter(folder, splits)


class LabelStudioWriter(Writer):
    """Writes ``SPLIT.json``, ``images/SPLIT``, and ``label_config.xml`` for the project.

    Tasks name images of local storage: Label Studio finds them where
    ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT`` is the folder that is written. Predictions of a model
    are predictions there, too, from which people start.
    """

    holds = FEATURES

    def write(self, rows: RowFile) -> None:
        """Write a file for each split, without splits ``tasks.json``, and the config."""
        config = LabellingConfig()
        model = "rexkit" if self.predicted else None
        for split in self.splits:
            with whole_file(self.folder / f"{split or 'tasks'}.json") as out:
                opening = "[\n"
                for row in rows:
                    if row.split == split:
                        place = quote(os.fsencode(self.image_file(row.name, split)))
                        image = f"/data/local-files/?d={place}"
                        task = to_labelstudio(row.annotation, image, model)
                        config.add(task)
                        out.write(f"{opening}{json_text(task)}".encode())
                        opening = ",\n"
                out.write(b"[]\n" if opening == "[\n" else b"\n]\n")
        write_whole(self.folder / "label_config.xml", config.xml() + "\n")


def _has_tasks(file: Path) -> bool:
    return is_labelstudio_task(first_of_json_list(file))
