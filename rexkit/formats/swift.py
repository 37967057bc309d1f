"""Grounding rows of ms-swift: a conversation with ``<ref-object>`` and ``<bbox>`` for its objects.

The form is that of https://github.com/modelscope/ms-swift, docs/source_en/Customization/
Custom-dataset.md: ``objects`` has the phrases (``ref``) and the boxes and points (``bbox``), each
in the order of their own placeholders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.conversations import IMAGE, read_messages
from rexkit.formats.coordinates import number_array, short
from rexkit.formats.json_fields import list_field, object_field, phrases_field
from rexkit.instances import extent
from rexkit.structures import Annotation, ImageSize, Instance

REF, BBOX = "<ref-object>", "<bbox>"

_MARK = re.compile(rf"{REF}(?P<none>:?\s*None\b)?|{BBOX}")
_GROUP = re.compile(r"\{[^{}]*\}")
_SCALES = {"real": None, "norm1": 1.0, "norm1000": 1000.0}
_OWN = ("messages", "images", "image", "objects")


def read_swift(
    row: Mapping[str, Any], size: Callable[[], ImageSize], phrase: str | None = None
) -> dict[str, Any]:
    """Convert a row to an annotation record.

    Args:
        row: a parsed line.
        size: the size of its image, asked for where its boxes are shares of it.
        phrase: of boxes that the text relates to no reference.

    Returns:
        The record. ``extra`` has the ``messages`` as they are, the ``refs``, and other fields.

    Raises:
        DataError: the row is of another form, or it is not clear which phrase a box has.
    """
    messages = read_messages(row, "messages")
    objects = object_field(row, "objects")
    refs = phrases_field(objects, "ref", "objects")
    boxes = list_field(objects, "bbox", "objects")
    phrases, absent = relate(messages, refs, phrase)
    if len(phrases) != len(boxes):
        raise DataError(f"objects.bbox has {len(boxes)}, and the messages {len(phrases)} {BBOX}")
    scale = _scale(objects, size)
    entries = []
    for number, (name, box) in enumerate(zip(phrases, boxes, strict=True)):
        numbers = number_array(box)
        if numbers is None or numbers.shape not in ((2,), (4,)):
            raise DataError(f"objects.bbox[{number}] must be 4 or 2 numbers, got {short(box)}")
        values = (numbers * scale[: len(numbers)]).tolist()
        entries.append({"phrase": name, "bbox" if len(values) == 4 else "point": values})
    entries += [{"phrase": name, "bbox": None} for name in absent]
    extra: dict[str, Any] = {name: value for name, value in row.items() if name not in _OWN}
    extra |= {"messages": messages} | ({"refs": refs} if refs else {})
    return {**_stated_size(objects), "instances": entries, "extra": extra}


def to_swift(annotation: Annotation, file_name: str) -> dict[str, Any] | None:
    """Return a row; None where there is nothing to ask and no conversation.

    Args:
        annotation: in pixels. The messages are those of ``extra["messages"]`` where
            `keeps_messages` holds, else one question for all phrases, absent ones among them, and
            its answer.
            Instances without a box have their point, or the box around them.
        file_name: of the image.

    >>> row = to_swift(Annotation((9, 9), [Instance("cup", bbox=[1, 2, 3, 4])], ["dog"]), "a.jpg")
    >>> [message["content"] for message in row["messages"]]
    ['<image>Detect <ref-object>, <ref-object>.', '<ref-object><bbox>, <ref-object>None']
    >>> row["objects"]
    {'ref': ['cup', 'dog', 'cup', 'dog'], 'bbox': [[1.0, 2.0, 3.0, 4.0]]}
    """
    instances = [i for i in annotation.instances if geometry(i) is not None]
    if keeps_messages(annotation):
        messages, refs = annotation.extra["messages"], annotation.extra.get("refs", [])
    else:
        groups: dict[str, list[Instance]] = {}
        for instance in instances:
            groups.setdefault(instance.phrase, []).append(instance)
        instances = [instance for group in groups.values() for instance in group]
        spans = [REF + BBOX * len(group) for group in groups.values()]
        phrases = [*groups, *(p for p in annotation.absent if p not in groups)]
        if not phrases:
            return None
        spans += [f"{REF}None"] * (len(phrases) - len(groups))
        question = f"{IMAGE}Detect {', '.join([REF] * len(phrases))}."
        messages = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": ", ".join(spans)},
        ]
        refs = phrases * 2
    row: dict[str, Any] = {"messages": messages, "images": [file_name]}
    if refs or instances:
        row["objects"] = {"ref": refs, "bbox": [geometry(i) for i in instances]}
    return row


def keeps_messages(annotation: Annotation) -> bool:
    """Return whether the messages that an annotation came with are still about its instances."""
    messages, refs = annotation.extra.get("messages"), annotation.extra.get("refs", [])
    if messages is None:
        return False
    try:
        phrases, absent = relate(read_messages({"messages": messages}, "messages"), refs)
    except DataError:
        return False
    kept = [i.phrase for i in annotation.instances if geometry(i) is not None]
    return phrases == kept and {*absent} - {*phrases} == {*annotation.absent}


def geometry(instance: Instance) -> list[float] | None:
    """Return the box, the point, or the box around an instance; None for ignored ones."""
    if instance.ignore:
        return None
    if instance.bbox is None and instance.point is not None:
        return [*instance.point.tolist()]
    box = extent(instance)
    is_box = not np.isnan(box).any() and (instance.bbox is not None or (box[2:] > box[:2]).all())
    return [*box.tolist()] if is_box else None


def relate(
    messages: Sequence[Mapping[str, str]], refs: Sequence[str], phrase: str | None = None
) -> tuple[list[str], list[str]]:
    """Return the phrase of each ``<bbox>``, and the phrases that are said to be absent.

    The format itself relates them by the text alone. A box is of the reference in the same
    ``{…}``, or of the one before it in its message, or of the only one of the question. A
    reference before ``None`` is absent.

    Raises:
        DataError: there is no such reference, or there are several.

    >>> relate([{"role": "assistant", "content": "<ref-object><bbox><bbox>"}], ["cup"])
    (['cup', 'cup'], [])
    """
    number = sum(message["content"].count(REF) for message in messages)
    if number != len(refs):
        raise DataError(f"objects.ref has {len(refs)}, and the messages {number} {REF}")
    names = iter(refs)
    phrases: list[str] = []
    absent: list[str] = []
    asked: list[str] = []
    for message in messages:
        text = message["content"]
        marks = [(m, None if m[0] == BBOX else next(names)) for m in _MARK.finditer(text)]
        groups = [group.span() for group in _GROUP.finditer(text)]
        absent += [name for mark, name in marks if name is not None and mark["none"]]
        marks = [(mark, name) for mark, name in marks if not mark["none"]]
        before: list[str] = []
        last = None
        for mark, name in marks:
            if name is not None:
                before = [name] if last == BBOX else [*before, name]
            else:
                own = [
                    other
                    for start, end in groups
                    for place, other in marks
                    if other is not None
                    and start <= mark.start() < end
                    and start <= place.start() < end
                ]
                candidates = own or before or ([] if message["role"] == "user" else asked)
                phrases.append(_only(candidates, phrase))
            last = mark[0]
        if message["role"] == "user":
            asked = [name for _, name in marks if name is not None]
    return phrases, absent


def _only(candidates: Sequence[str], phrase: str | None) -> str:
    distinct = [*dict.fromkeys(candidates)]
    if not distinct and phrase is not None:
        return phrase
    if len(distinct) != 1:
        what = f"any of {short(distinct)}" if distinct else "none"
        hint = f"write {REF} right before its {BBOX}" + ("" if distinct else ", or set phrase")
        raise DataError(f"a {BBOX} belongs to one {REF}, this one could be of {what}; {hint}")
    return distinct[0]


def _scale(objects: Mapping[str, Any], size: Callable[[], ImageSize]) -> Any:
    """Return what coordinates are multiplied by: (4,)."""
    kind = objects.get("bbox_type", "real")
    if not isinstance(kind, str) or kind not in _SCALES:
        raise DataError(f"objects.bbox_type must be one of {[*_SCALES]}, got {short(kind)}")
    whole = _SCALES[kind]
    return np.ones(4) if whole is None else np.tile(size(), 2) / whole


def _stated_size(objects: Mapping[str, Any]) -> dict[str, Any]:
    """Return the width and height that a row states of its only image."""
    sides = {side: objects.get(side) for side in ("width", "height")}
    return {side: v[0] if isinstance(v, list) and v else v for side, v in sides.items() if v}
