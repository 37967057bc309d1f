"""Questions with answers in free text, each with an image or without one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

from PIL.Image import Image

from rexkit.datasets.row_dataset import OnError
from rexkit.datasets.skipped_rows import SKIP_HINT, errors_of_row
from rexkit.errors import ConfigError, DataError, did_you_mean
from rexkit.formats.conversations import open_rows
from rexkit.formats.coordinates import short
from rexkit.formats.images import decode_image, read_image
from rexkit.phrases import has_surrogate
from rexkit.registry import DATASETS
from rexkit.structures import Annotation, Sample

Turns = Literal["one", "first"]

QUESTIONS = ("question", "prompt", "query", "instruction")
ANSWERS = ("answer", "response", "output")
NO_IMAGE = (1, 1)
"""The image size in the annotation of a sample without an image."""

_PLACEHOLDER = "<image>"
_MARKUP = re.compile(r"<\|(?:im_start|im_end|endoftext|image_pad|video_pad|vision_\w+)\|>")
_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
          "system": "system"}  # fmt: skip


@DATASETS.register_module()
class ChatDataset:
    """JSON Lines, or one JSON list, of questions and answers: for `rexkit.tasks.ChatTask`.

    They are mixed into grounding data, so that a model keeps what it knew. A row is one of::

        {"question": "What is 3 + 4?", "answer": "7"}
        {"image": "a.jpg", "question": "What is on the table?", "answer": "Two cups."}
        {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
        {"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>…"}, …]}

    Rows without ``image`` (or ``images``, a list of at most one) have text alone; only the trainer
    of supervised fine-tuning takes these. ``prompt``, ``query`` or ``instruction`` may stand for
    ``question``, ``response`` or ``output`` for ``answer``. A placeholder ``<image>`` is left out.

    Args:
        ann_file: the file.
        image_dir: the folder that paths of images are relative to; left out, that of ``ann_file``.
        turns: "one": a row of several questions is an error, as is a system message; "first":
            its first question and answer are used, and the rest is not.
        on_error: "raise" or "skip", as in `rexkit.datasets.row_dataset.RowDataset`.

    Raises:
        ConfigError: ``turns`` or ``on_error`` is none of these.
        FileNotFoundError: ``ann_file`` is missing.
    """

    def __init__(
        self,
        ann_file: str | os.PathLike[str],
        image_dir: str | os.PathLike[str] | None = None,
        turns: Turns = "one",
        on_error: OnError = "raise",
    ):
        for name, value, known in (
            ("turns", turns, get_args(Turns)),
            ("on_error", on_error, get_args(OnError)),
        ):
            if value not in known:
                raise ConfigError(f"{name}: {value!r} is not one; {did_you_mean(value, known)}")
        self._file = open_rows(Path(ann_file))
        self._image_dir = self._file.path.parent if image_dir is None else Path(image_dir)
        self.turns: Turns = turns
        self.on_error: OnError = on_error

    def __len__(self) -> int:
        return len(self._file)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        place = self._file.location(index)
        try:
            return self._sample(index, place)
        except DataError as error:
            if self.on_error == "skip":
                raise
            reason = f"{error.reason}; correct the row, {SKIP_HINT}"
            raise DataError(reason, error.source, error.kind) from error

    def row_phrases(self, index: int) -> list[str]:
        """Return no phrases: a question asks for no category."""
        return []

    def _sample(self, index: int, place: str) -> Sample:
        with errors_of_row(place, "annotation"):
            fields = self._file.value(index)
            if not isinstance(fields, Mapping):
                raise DataError("a row must be a JSON object")
            name = _image_name(fields)
            question, answer = _exchange(fields, self.turns)
            if name is None and _PLACEHOLDER in question:
                raise DataError(f"the question has {_PLACEHOLDER}, and the row names no image")
            question = question.replace(_PLACEHOLDER, " ").strip()
            extra = {"question": _text(question, "question"), "answer": _text(answer, "answer")}
        if name is None:  # a sample without an image: see `Sample.image`
            return Sample(cast(Image, None), Annotation(NO_IMAGE, extra=extra), place)
        path = self._image_dir / name
        with errors_of_row(place, "image"):
            image = decode_image(read_image(path))
        return Sample(image, Annotation(image.size, extra=extra), place, str(path))


def _image_name(fields: Mapping[str, Any]) -> str | None:
    found = fields.get("image", fields.get("images"))
    if isinstance(found, list):
        if len(found) > 1:
            raise DataError(f"a row may have one image, this one has {len(found)}")
        found = found[0] if found else None
    if found is not None and not isinstance(found, str):
        raise DataError(f"image must be a path, got {short(found)}")
    return found or None


def _exchange(fields: Mapping[str, Any], turns: Turns) -> tuple[Any, Any]:
    """Return the question and the answer of a row."""
    listed = fields.get("messages", fields.get("conversations"))
    if listed is not None:
        return _first_exchange(listed, turns)
    found = []
    for keys in (QUESTIONS, ANSWERS):
        key = next((k for k in keys if k in fields), None)
        if key is None:
            raise DataError(
                f"a row must have {' or '.join(map(repr, keys))}, or 'messages'; it has "
                f"{list(fields)}"
            )
        found.append(fields[key])
    return found[0], found[1]


def _first_exchange(listed: Any, turns: Turns) -> tuple[Any, Any]:
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise DataError(f"messages must be a list, got {short(listed)}")
    roles, texts = [], []
    for number, message in enumerate(listed):
        role = message.get("role", message.get("from")) if isinstance(message, Mapping) else None
        if role not in _ROLES:
            raise DataError(f"messages[{number}] must have a role of {list(_ROLES)}, got {role!r}")
        roles.append(_ROLES[role])
        texts.append(_content(message.get("content", message.get("value"))))
    if turns == "first":
        texts = [t for t, role in zip(texts, roles, strict=True) if role != "system"][:2]
        roles = [role for role in roles if role != "system"][:2]
    if roles != ["user", "assistant"]:
        raise DataError(
            f"messages must be one question and its answer, these are {', '.join(roles) or 'none'};"
            " write a row for each question, or use the first one with turns='first'"
        )
    return texts[0], texts[1]


def _content(content: Any) -> Any:
    """Return the text of a message whose content may be a list of parts."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if isinstance(part, Mapping)]
    return " ".join(text for text in texts if isinstance(text, str))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{name} must be a text, got {short(value)}")
    if found := _MARKUP.search(value):
        raise DataError(f"{name} contains {found.group()!r}, which is markup of the models")
    if has_surrogate(value):
        raise DataError(f"{name} contains half of a surrogate pair; correct its encoding")
    return value.strip()
