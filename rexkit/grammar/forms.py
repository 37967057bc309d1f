"""Forms: descriptions of the completions that constrained decoding allows.

A task returns the form of each question. It is plain data, so it can be sent to an engine in
another process (`to_dict`, `from_dict`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rexkit.grammar.writer import Geometry, Transcription
from rexkit.phrases import clean_phrase


@dataclass(frozen=True, slots=True)
class SpanForm:
    """The form of a completion made of spans, as `rexkit.grammar.write` writes it.

    Attributes:
        phrases: the phrases asked for. Each of them gets a span, with items or with ``None``, and
            no other phrase does.
        geometry: the geometry of every item. Boxes have x0 < x1 and y0 < y1 in bins.
        order: "asked" keeps the order of ``phrases``, "any" leaves the order to the model.
        transcription: "phrase" puts a free text in place of each phrase, so that a completion is
            either spans of transcriptions with items, or ``None`` for every phrase; "inline" puts
            a free text after the coordinates of each item.
        free: the model chooses the phrases, as with transcription "phrase".
        max_items: the maximum number of items in a span; None for no limit.
        max_spans: the maximum number of spans with free phrases; None for no limit.
        max_text: the maximum length of a free text, in tokens; None for no limit.
        max_points: the maximum number of corners of a polygon; None for no limit.

    Raises:
        ValueError: a phrase cannot be written, there is none and they are not free, or a limit is
            too small for the grammar.

    >>> SpanForm(("cup", "dog"), geometry="point").phrases
    ('cup', 'dog')
    """

    phrases: tuple[str, ...] = ()
    geometry: Geometry = "bbox"
    order: Literal["asked", "any"] = "asked"
    transcription: Transcription | None = None
    free: bool = False
    max_items: int | None = None
    max_spans: int | None = None
    max_text: int | None = None
    max_points: int | None = None

    def __post_init__(self) -> None:
        phrases = tuple(dict.fromkeys(clean_phrase(phrase) for phrase in self.phrases))
        object.__setattr__(self, "phrases", phrases)
        if self.geometry not in ("bbox", "point", "polygon"):
            raise ValueError(f"geometry: must be bbox, point or polygon, got {self.geometry!r}")
        if not phrases and not self.phrases_are_free:
            raise ValueError("phrases: at least one is needed, unless free=True")
        for name, least in (("max_items", 1), ("max_spans", 1), ("max_text", 1), ("max_points", 3)):
            limit = getattr(self, name)
            if limit is not None and limit < least:
                raise ValueError(f"{name} must be {least} or more, got {limit}")

    @property
    def phrases_are_free(self) -> bool:
        """Whether the model chooses the phrases."""
        return self.free or self.transcription == "phrase"


@dataclass(frozen=True, slots=True)
class KeypointForm:
    """The form of a completion in keypoint JSON, as `rexkit.grammar.write_keypoints` writes it.

    Instances are numbered by phrase (person1, person2, cat1, …); the phrases may alternate. Each
    instance has a bbox and every keypoint, in order, as a position or as "unvisible". Without any
    instance the completion is ``{}`` in its fence, which is read as no instance and no problem.

    Attributes:
        phrases: the names of the instances, without their number.
        keypoints: the names of the keypoints, in the order they are written.
        max_items: the maximum number of instances; None for no limit.

    Raises:
        ValueError: a phrase or a keypoint name cannot be written, is missing or is not unique.

    >>> KeypointForm(("hand",), ("wrist", "thumb tip")).keypoints
    ('wrist', 'thumb tip')
    """

    phrases: tuple[str, ...]
    keypoints: tuple[str, ...]
    max_items: int | None = None

    def __post_init__(self) -> None:
        phrases = tuple(dict.fromkeys(clean_phrase(phrase) for phrase in self.phrases))
        names = tuple(clean_phrase(name) for name in self.keypoints)
        object.__setattr__(self, "phrases", phrases)
        object.__setattr__(self, "keypoints", names)
        if not phrases:
            raise ValueError("phrases: at least one is needed")
        if numbered := [phrase for phrase in phrases if phrase[-1] in "0123456789"]:
            raise ValueError(
                f"phrases: {numbered[0]!r} must not end in a digit, since instances are numbered"
            )
        if not names or len(set(names)) < len(names):
            raise ValueError(f"keypoints: must be names that are listed once, got {self.keypoints}")
        if self.max_items is not None and self.max_items < 1:
            raise ValueError(f"max_items must be 1 or more, got {self.max_items}")


AnswerForm = SpanForm | KeypointForm
"""Any form that a task may return."""


def to_dict(form: AnswerForm) -> dict[str, Any]:
    """Convert a form to a dictionary that JSON can hold.

    Args:
        form: the form.

    Returns:
        Its fields, with the name of its class under "type".

    >>> from_dict(to_dict(SpanForm(("cup",)))) == SpanForm(("cup",))
    True
    """
    return {"type": type(form).__name__, **asdict(form)}


def from_dict(record: Mapping[str, Any]) -> AnswerForm:
    """Build a form from a record of `to_dict`, whether or not it has been through JSON.

    Args:
        record: the fields of the form, and the name of its class under "type".

    Returns:
        The form.

    Raises:
        ValueError: the type is not that of a form, or a field is not valid.
    """
    kinds: dict[str, Any] = {"SpanForm": SpanForm, "KeypointForm": KeypointForm}
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in record.items() if k != "type"
    }
    kind = kinds.get(record.get("type", ""))
    if kind is None:
        raise ValueError(f"type: must be one of {', '.join(kinds)}, got {record.get('type')!r}")
    form: AnswerForm = kind(**fields)
    return form
