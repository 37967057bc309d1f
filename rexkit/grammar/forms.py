"""What form an answer must have: the description that constrained decoding is built from.

A task gives the form for each question. It is plain data, so it can travel to an engine in another
process (`to_dict`, `from_dict`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rexkit.grammar.write import Geometry, Transcription, legal_phrase


@dataclass(frozen=True, slots=True)
class SpanForm:
    """An answer of spans, as `rexkit.grammar.write` spells it.

    Attributes:
        phrases: what was asked. Every one is answered, with items or with ``None``, and nothing
            else is.
        geometry: what every item is. Boxes have x0 < x1 and y0 < y1 in bins.
        order: "asked" answers in the order of ``phrases``, "any" in the model's.
        transcription: "phrase" puts a free text in place of each phrase, so that an answer is
            either spans of transcriptions with items, or ``None`` for every phrase asked; "inline"
            puts one after the coordinates of each item.
        free: phrases are the model's own, as in transcription "phrase".
        max_items: at most how many items a span has.
        max_spans: at most how many spans an answer with free phrases has.
        max_text: the longest free text, in tokens.
        max_points: the most corners of a polygon.

    Raises:
        ValueError: a phrase cannot be written, there is none and they are not free, or a limit is
            below what the grammar needs.
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
        phrases = tuple(dict.fromkeys(legal_phrase(phrase) for phrase in self.phrases))
        object.__setattr__(self, "phrases", phrases)
        if self.geometry not in ("bbox", "point", "polygon"):
            raise ValueError(f"geometry: {self.geometry!r} is not bbox, point or polygon")
        if not phrases and not self.phrases_are_free:
            raise ValueError("phrases: an answer needs one at least, or free phrases")
        for name, least in (("max_items", 1), ("max_spans", 1), ("max_text", 1), ("max_points", 3)):
            limit = getattr(self, name)
            if limit is not None and limit < least:
                raise ValueError(f"{name} must be {least} or more, got {limit}")

    @property
    def phrases_are_free(self) -> bool:
        return self.free or self.transcription == "phrase"


@dataclass(frozen=True, slots=True)
class KeypointForm:
    """An answer in keypoint JSON, as `rexkit.grammar.write_keypoints` spells it.

    Instances are numbered by phrase (person1, person2, cat1, …) and come in any order of the
    phrases. Each has a bbox and every keypoint, in order, as a position or as "unvisible". Where
    there is nothing, the answer is ``{}`` in its fence, which reads as no instance and no problem.

    Attributes:
        phrases: what the instances are called, without a number.
        keypoints: their names, in the order of the answer.
        max_items: at most how many instances.

    Raises:
        ValueError: a phrase or a name cannot be written, is missing or not unique.
    """

    phrases: tuple[str, ...]
    keypoints: tuple[str, ...]
    max_items: int | None = None

    def __post_init__(self) -> None:
        phrases = tuple(dict.fromkeys(legal_phrase(phrase) for phrase in self.phrases))
        names = tuple(legal_phrase(name) for name in self.keypoints)
        object.__setattr__(self, "phrases", phrases)
        object.__setattr__(self, "keypoints", names)
        if not phrases:
            raise ValueError("phrases: an answer needs one at least")
        if numbered := [phrase for phrase in phrases if phrase[-1] in "0123456789"]:
            raise ValueError(
                f"phrases: {numbered[0]!r} ends in a digit, and instances are numbered"
            )
        if not names or len(set(names)) < len(names):
            raise ValueError(f"keypoints: need names, each once, got {self.keypoints}")
        if self.max_items is not None and self.max_items < 1:
            raise ValueError(f"max_items must be 1 or more, got {self.max_items}")


AnswerForm = SpanForm | KeypointForm


def to_dict(form: AnswerForm) -> dict[str, Any]:
    """A form as JSON holds it.

    >>> from_dict(to_dict(SpanForm(("cup",)))) == SpanForm(("cup",))
    True
    """
    return {"type": type(form).__name__, **asdict(form)}


def from_dict(record: Mapping[str, Any]) -> AnswerForm:
    """The form of a record made by `to_dict`, whether or not it has been through JSON.

    Raises:
        ValueError: its type is no form.
    """
    kinds: dict[str, Any] = {"SpanForm": SpanForm, "KeypointForm": KeypointForm}
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in record.items() if k != "type"
    }
    kind = kinds.get(record.get("type", ""))
    if kind is None:
        raise ValueError(f"type: {record.get('type')!r} is none of {', '.join(kinds)}")
    form: AnswerForm = kind(**fields)
    return form
