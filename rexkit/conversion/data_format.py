"""Base classes of the formats that data sets are converted from and to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from rexkit.conversion.features import Feature, features_of, has_any
from rexkit.errors import ConfigError, DataError, UserError
from rexkit.formats.json_lines import JsonLinesFile
from rexkit.formats.voc import parse_xml
from rexkit.registry import FORMATS

if TYPE_CHECKING:
    from rexkit.conversion.rows import RowFile
    from rexkit.datasets import RowDataset
    from rexkit.structures import Annotation, Instance

SPLITS = ("train", "val", "valid", "test")
"""What folders of splits are called."""

DEEP = ("", "*/", "*/*/")
"""How deep below a folder the files of images are looked for, to recognise a format."""

_FIRST = 5
"""How many files of a kind are looked at to recognise a format."""


@dataclass
class SourceSplit:
    """One split of a data set that is read.

    Attributes:
        dataset: its rows.
        image_root: the folder that names of images are relative to; None where they have no files.
    """

    dataset: RowDataset
    image_root: Path | None = None


class DataFormat:
    """One format of annotated images on disk.

    A subclass reads, writes, or both. It is registered under the name that ``--from`` and ``--to``
    have for it.

    Attributes:
        predicted: whether its annotations are those of a model, for people to correct.
        options: the arguments of its data set that `open` accepts, of those that
            ``rexkit convert`` has flags for.
    """

    predicted: ClassVar[bool] = False
    options: ClassVar[frozenset[str]] = frozenset({"coordinates", "orientation"})

    def recognise(self, path: Path) -> str | None:
        """Return what shows that a file or folder is of this format, in a few words, or None."""
        return None

    def open(self, path: Path, images: Path | None, **options: Any) -> dict[str, SourceSplit]:
        """Return the splits of a data set by name; "" for one without splits.

        Args:
            path: the file or folder.
            images: the folder of the images, where the user names one.
            options: arguments of the data set, such as ``on_error`` or those of `options`.

        Raises:
            FileNotFoundError: something is missing.
            DataError: the path is not of this format.
        """
        raise ConfigError(f"--from: {_name_of(self)} is only written")

    def writer(self, folder: Path, splits: list[str]) -> Writer:
        """Return what writes a data set to a folder.

        Args:
            folder: where it goes.
            splits: of the data set, "" for one without.
        """
        raise ConfigError(f"--to: {_name_of(self)} is only read")


class Writer(ABC):
    """Writes a data set to a folder.

    Images are copied while rows are read, by several processes. Annotations are written at the end.

    Args:
        folder: where it goes.
        splits: of the data set.

    Attributes:
        holds: what it stores as it is.
        replaces: what becomes of other things, by feature, for the report; what is in neither is
            left out. Geometries here count as stored.
        left_out: why instances are left out, for the report.
        copies_images: whether images are copied to `image_file`; else the rows name the files of
            the source.
        predicted: whether the annotations are those of a model, for people to correct; formats of
            labelling tools may mark them. Set before `write`.
    """

    predicted: bool = False
    holds: frozenset[Feature]
    replaces: ClassVar[Mapping[str, str]] = {}
    left_out: ClassVar[str] = "no geometry that can be stored"
    copies_images: ClassVar[bool] = True

    def __init__(self, folder: Path, splits: list[str]):
        self.folder, self.splits = folder, splits

    def image_file(self, name: str, split: str) -> Path:
        """Return where an image goes, relative to the folder."""
        return Path("images", split, name)

    def survey(self, rows: RowFile) -> None:
        """Look at all rows before they are written, and set `holds` where it depends on them."""
        return

    def losses(self, annotation: Annotation) -> Counter[str]:
        """Return how many there are of each thing that is not stored as it is, for the report."""
        counts = features_of(annotation).items()
        return Counter({feature: n for feature, n in counts if feature not in self.holds})

    def stores(self, instance: Instance) -> bool:
        """Return whether an instance is stored at all."""
        return has_any(instance, frozenset({*self.holds, *self.replaces}))

    @abstractmethod
    def write(self, rows: RowFile) -> None:
        """Write the annotations.

        Args:
            rows: one for each image. They can be iterated over several times, and are read from
                disk each time, so that they need not fit into memory.
        """


def first_files(path: Path, *patterns: str) -> list[Path]:
    """Return the first files of each pattern in a folder, or the file itself.

    So many show what the folder is; those of a data set with a file for each image are not all
    opened for every format.
    """
    if path.is_file():
        return [path]
    return [file for pattern in patterns for file in sorted(path.glob(pattern))[:_FIRST]]


def by_split(files: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files of splits by name; the only one of a data set is a split without a name."""
    return {"": next(iter(files.values()))} if len(files) == 1 else dict(files)


def image_root(folder: Path, split: str, images: Path | None = None) -> Path:
    """Return the folder of a split's images: that the user names, ``images/SPLIT``, or its own."""
    own = folder / "images" / split
    return images or (own if own.is_dir() else folder)


def split_folders(path: Path) -> dict[str, Path]:
    """Return the folders of splits in a folder, such as "train", or itself as the only one."""
    folders = {split: path / split for split in SPLITS if (path / split).is_dir()}
    return folders or {"": path}


def label_names(rows: RowFile) -> dict[tuple[str, str], str]:
    """Return the name of each image without its suffix, by its split and name.

    Raises:
        UserError: two of a split have the same, so that they would share an annotation file.
    """
    names = {key: PurePosixPath(key[1]).with_suffix("").as_posix() for key in rows.names()}
    seen: dict[tuple[str, str], str] = {}
    for (split, name), stem in names.items():
        if (split, stem) in seen:
            raise UserError(
                f"{seen[split, stem]} and {name} differ in their suffix alone, so that they would "
                "have one annotation file; rename one of them, or convert to another format"
            )
        seen[split, stem] = name
    return names


def find_format(path: Path, name: str | None = None) -> tuple[str, DataFormat, str]:
    """Return the name of a format, the format, and what shows it.

    Args:
        path: the file or folder.
        name: of the format, where the user says it.

    Raises:
        ConfigError: no format is recognised; the message says what is there.
    """
    if name is not None:
        return name, FORMATS.build({"type": name}, key="--from"), "as given"
    if not path.exists():
        raise ConfigError(f"{path}: there is no such file or folder")
    for known, component in FORMATS.components().items():
        found: DataFormat = component()
        seen = found.recognise(path)
        if seen is not None:
            return known, found, seen
    raise ConfigError(
        f"{path}: this is of none of the formats {', '.join(FORMATS.components())}; "
        f"there is {_content(path)}{_unreadable(path)}. Name the format with --from"
    )


def first_row(file: Path) -> Mapping[str, Any] | None:
    """Return the first row of a file of JSON Lines; None where it is none."""
    try:
        lines = JsonLinesFile(file)
        row = lines.value(0) if len(lines) else None
    except (DataError, OSError):
        return None
    return row if isinstance(row, Mapping) else None


def _content(path: Path) -> str:
    """Describe a file or folder by the suffixes in it."""
    if path.is_file():
        return f"a file that begins with {path.open('rb').read(40)!r}"
    counts: dict[str, int] = {}
    for file in sorted(path.rglob("*"))[:10_000]:
        if file.is_file():
            suffix = file.suffix.lower() or file.name
            counts[suffix] = counts.get(suffix, 0) + 1
    most = sorted(counts.items(), key=lambda item: -item[1])[:5]
    return ", ".join(f"{number} {suffix}" for suffix, number in most) or "nothing in it"


def _unreadable(path: Path) -> str:
    """Describe the first file that cannot be read, so that no format is recognised, or ""."""
    for file in first_files(path, "*.jsonl", "*.xml"):
        try:
            if file.suffix == ".jsonl":
                lines = JsonLinesFile(file)
                if len(lines):
                    lines.value(0)
            elif file.suffix == ".xml":
                parse_xml(file.read_bytes())
        except (DataError, OSError) as error:
            place = "" if str(file) in str(error) else f"{file}: "
            return f"; {place}{error}"
    return ""


def _name_of(found: DataFormat) -> str:
    return next(n for n, c in FORMATS.components().items() if isinstance(found, c))
