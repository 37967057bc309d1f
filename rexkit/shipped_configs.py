"""Find the configs that rexkit ships: files of the wheel, or of the checkout it runs from."""

from __future__ import annotations

import re
from pathlib import Path

from rexkit.errors import ConfigError, did_you_mean

FOLDERS = ("sft", "grpo", "eval", "eval/rex_omni")
"""The folders that short names are looked up in; where a name is in several, ``sft`` is taken."""


def config_folder() -> Path:
    """Return the folder of the shipped configs.

    It is ``rexkit/configs`` in an installed package and ``configs`` in a checkout.
    """
    package = Path(__file__).parent
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def shipped_configs(folder: Path | None = None) -> dict[str, Path]:
    """Return the shipped configs by name, such as ``sft/grounding``.

    Args:
        folder: the folder to look in; by default the one of `config_folder`.

    >>> "sft/grounding" in shipped_configs()
    True
    """
    root = config_folder() if folder is None else folder
    return {
        f"{sub}/{path.stem}": path for sub in FOLDERS for path in sorted((root / sub).glob("*.py"))
    }


def first_comment(path: Path) -> str:
    """Return the first sentence of the comment at the head of a config, or an empty string.

    >>> first_comment(find_config("grounding")).startswith("Fine-tune the embedded model")
    True
    """
    comment = []
    for line in path.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return re.split(r"(?<=[.:])\s", " ".join(comment), maxsplit=1)[0].rstrip(":")


def find_config(name: str | Path, folder: Path | None = None) -> Path:
    """Return the file of a config, given its path or the name of a shipped one.

    A path to a file is returned as it is. A name is ``sft/grounding`` or, for short, ``grounding``.

    Args:
        name: a path, which ends in ``.py``, or a name, which does not.
        folder: the folder with the shipped configs; by default the one of `config_folder`.

    Raises:
        FileNotFoundError: it is a path, and there is no such file.
        ConfigError: no shipped config has the name, or several have.

    >>> find_config("grounding").as_posix().endswith("configs/sft/grounding.py")
    True
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = shipped_configs(folder)
    same_stem = [full for full in shipped if full.rpartition("/")[2] == path.stem]
    if path.suffix == ".py":
        hint = f"; rexkit ships {' and '.join(same_stem)}, without .py" if same_stem else ""
        raise FileNotFoundError(f"there is no config file {name}{hint}")
    wanted = path.as_posix()
    matches = [wanted] if wanted in shipped else same_stem if len(path.parts) == 1 else []
    if not matches:
        raise ConfigError(
            f"{wanted} is neither a config file nor the name of a shipped config; "
            + did_you_mean(wanted, [*shipped, *(full.rpartition("/")[2] for full in shipped)])
        )
    if len(matches) > 1 and not matches[0].startswith("sft/"):
        raise ConfigError(f"{wanted} is the name of several configs: {', '.join(matches)}")
    return shipped[matches[0]]
