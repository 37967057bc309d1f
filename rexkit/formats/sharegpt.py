"""Grounding rows of sharegpt: a conversation whose answers are written in the Rex-Omni grammar.

The form is that of https://github.com/hiyouga/LLaMA-Factory, data/README.md ("sharegpt"), and of
LLaVA before it, which say nothing of boxes in the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rexkit.errors import DataError
from rexkit.formats.annotation_records import to_record
from rexkit.formats.conversations import IMAGE, read_messages
from rexkit.formats.swift import geometry
from rexkit.grammar import read, write
from rexkit.instances import extent
from rexkit.structures import Annotation, ImageSize, Instance

_FROM = {"user": "human", "assistant": "gpt"}
_SPAN = "<|object_ref_start|>"
_OWN = ("conversations", "images", "image")


def read_sharegpt(row: Mapping[str, Any], size: ImageSize) -> dict[str, Any]:
    """Convert a row to an annotation record.

    Args:
        row: of the file.
        size: (width, height) of its image.

    Returns:
        The record: the instances and absent phrases of every answer that has spans of the Rex-Omni
        grammar. ``extra`` has the ``messages`` as they are, and other fields.

    Raises:
        DataError: the row is of another form, or an answer does not follow the grammar.
    """
    messages = read_messages(row, "conversations")
    found = _spans(messages, size)
    extra = {name: value for name, value in row.items() if name not in _OWN}
    return to_record(replace(found, extra={**extra, "messages": messages}))


def to_sharegpt(annotation: Annotation, file_name: str) -> dict[str, Any] | None:
    """Return a row; None where there is nothing to ask and no conversation.

    Args:
        annotation: in pixels. The messages are those of ``extra["messages"]`` where
            `keeps_messages` holds, else one question for all phrases, absent ones among them, and
            its answer.
            Coordinates are rounded to the bins of the grammar.
        file_name: of the image.

    >>> cup = Instance("cup", bbox=[64, 48, 320, 240])
    >>> row = to_sharegpt(Annotation((640, 480), [cup], ["dog"]), "a.jpg")
    >>> row["conversations"][0]["value"]
    '<image>Detect cup, dog.'
    """
    if keeps_messages(annotation):
        messages = annotation.extra["messages"]
    else:
        instances = [_writable(i) for i in annotation.instances if stores(i)]
        phrases = [*dict.fromkeys([*(i.phrase for i in instances), *annotation.absent])]
        if not phrases:
            return None
        messages = [
            {"role": "user", "content": f"{IMAGE}Detect {', '.join(phrases)}."},
            {
                "role": "assistant",
                "content": write(instances, annotation.image_size, phrases=phrases),
            },
        ]
    turns = [{"from": _FROM.get(m["role"], m["role"]), "value": m["content"]} for m in messages]
    return {"conversations": turns, "images": [file_name]}


def keeps_messages(annotation: Annotation) -> bool:
    """Return whether the messages that an annotation came with are still about its instances."""
    if "messages" not in annotation.extra:
        return False
    try:
        messages = read_messages(annotation.extra, "messages")
        found = _spans(messages, annotation.image_size)
    except DataError:
        return False
    is_plain = not any("<bbox>" in m["content"] for m in messages)  # ms-swift's are no text
    kept = [i.phrase for i in annotation.instances if stores(i)]
    return (
        is_plain
        and [i.phrase for i in found.instances] == kept
        and {*found.absent} == {*annotation.absent}
    )


def stores(instance: Instance) -> bool:
    """Return whether an instance has something that an answer can say of it."""
    return geometry(instance) is not None


def _writable(instance: Instance) -> Instance:
    """Return an instance with a box, point or polygon, and no keypoints."""
    has_own = any(x is not None for x in (instance.bbox, instance.point, instance.polygon))
    box = instance.bbox if has_own else extent(instance)
    return replace(instance, keypoints=None, bbox=box)


def _spans(messages: Sequence[Mapping[str, str]], size: ImageSize) -> Annotation:
    instances: list[Instance] = []
    absent: list[str] = []
    for message in messages:
        if message["role"] == "assistant" and _SPAN in message["content"]:
            found = read(message["content"], size)
            problem = next((p for p in found.problems if p.kind != "flat_box"), None)
            if problem is not None:
                raise DataError(
                    f"an answer does not follow the grammar at character {problem.offset}: "
                    f"{problem.detail}"
                )
            instances += found.instances
            absent += found.absent
    present = {instance.phrase for instance in instances}
    return Annotation(size, instances, [p for p in dict.fromkeys(absent) if p not in present])
