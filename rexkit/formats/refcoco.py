"""Referring expressions in the form of REFER: ``refs(unc).p`` beside COCO's ``instances.json``.

The form is that of https://github.com/lichengunc/refer (RefCOCO, RefCOCO+, RefCOCOg, RefClef), with
what gRefCOCO (https://github.com/henghuiding/gRefCOCO, ``grefs(unc).json``) adds: references to
several objects, and to none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rexkit.errors import DataError, did_you_mean
from rexkit.formats.coordinates import short
from rexkit.formats.json_fields import list_field
from rexkit.formats.json_lines import parse_json
from rexkit.formats.plain_pickle import read_plain_pickle

INSTANCES = "instances.json"

_NAME = re.compile(r"g?refs\((.+)\)\.(?:p|json)")


@dataclass(frozen=True)
class Reference:
    """The expressions for one object, for several, or for none, of an image.

    Attributes:
        ref_id: its number.
        image_id: of the image in ``instances.json``.
        ann_ids: the annotations there; empty for expressions that nothing in the image fits.
        sentences: the expressions.
        split: "train", "val", "testA", …; "" where the file names none.
    """

    ref_id: Any
    image_id: Any
    ann_ids: tuple[Any, ...]
    sentences: tuple[str, ...]
    split: str = ""


def find_refs(folder: Path, split_by: str | None = None) -> Path:
    """Return the file of references in a folder.

    Args:
        folder: which has it, beside ``instances.json``.
        split_by: who made the splits, such as "unc" of ``refs(unc).p``; may be left out where the
            folder has one file.

    Raises:
        FileNotFoundError: there is none.
        DataError: there are several, or none of that name.
    """
    files = {found[1]: path for path in sorted(folder.glob("*refs(*)*"))
             if (found := _NAME.fullmatch(path.name))}  # fmt: skip
    if not files:
        raise FileNotFoundError(f"there is no refs(…).p and no grefs(…).json in {folder}")
    if split_by is None and len(files) > 1:
        raise DataError(f"set split_by, one of {[*files]}: there are splits of each", str(folder))
    name = next(iter(files)) if split_by is None else split_by
    if name not in files:
        raise DataError(f"no splits are by {name!r}; {did_you_mean(name, [*files])}", str(folder))
    return files[name]


def read_refs(path: Path, unusable: list[DataError] | None = None) -> Iterator[Reference]:
    """Yield the references of a file.

    Args:
        path: ``refs(unc).p``, a pickle, of which nothing is run, or the same as JSON.
        unusable: a list to which an error is added for each reference that cannot be used, and is
            left out; without it, it is raised.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it is no such file.
    """
    refs = read_plain_pickle(path) if path.suffix == ".p" else _read_json(path)
    if not isinstance(refs, list):
        raise DataError(f"a file of references is a list of them, got {short(refs)}", str(path))
    for number, ref in enumerate(refs):
        try:
            yield _reference(ref)
        except DataError as error:
            bad = error.at(f"{path}[{number}]")
            if unusable is None:
                raise bad from error
            unusable.append(bad)


def to_ref(
    reference: Reference, file_name: str, category_ids: Sequence[int], first: int
) -> dict[str, Any]:
    """Return what stands for a reference in a file.

    Args:
        reference: one of several objects, or of none, is in the form of gRefCOCO.
        file_name: of the image.
        category_ids: of the objects.
        first: the number of its first sentence.
    """
    sentences = [
        {"tokens": text.split(), "raw": text, "sent_id": number, "sent": text}
        for number, text in enumerate(reference.sentences, first)
    ]
    ids: dict[str, Any] = {"ann_id": [*reference.ann_ids], "category_id": [*category_ids]}
    if len(reference.ann_ids) == 1:
        ids = {name: value[0] for name, value in ids.items()}
    elif not reference.ann_ids:
        ids = {name: [-1] for name in ids} | {"no_target": True}
    return {
        "ref_id": reference.ref_id,
        **ids,
        "image_id": reference.image_id,
        "file_name": file_name,
        "split": reference.split,
        "sent_ids": [sentence["sent_id"] for sentence in sentences],
        "sentences": sentences,
    }


def _read_json(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except DataError as error:
        raise error.at(str(path)) from error


def _reference(ref: Any) -> Reference:
    if not isinstance(ref, Mapping):
        raise DataError(f"a reference must be an object, got {short(ref)}")
    for name in ("image_id", "ann_id"):
        if name not in ref:
            raise DataError(f"a reference has {name!r}; this one has {[*ref]}")
    found = ref["ann_id"] if isinstance(ref["ann_id"], list) else [ref["ann_id"]]
    ids = [] if ref.get("no_target") else [number for number in found if number != -1]
    for value in (ref["image_id"], *ids):
        if not isinstance(value, int | str):
            raise DataError(f"an id must be a number, got {short(value)}")
    sentences = []
    for number, sentence in enumerate(list_field(ref, "sentences")):
        text = sentence.get("sent", sentence.get("raw")) if isinstance(sentence, Mapping) else None
        if not isinstance(text, str):
            raise DataError(f"sentences[{number}] must have a text 'sent', got {short(sentence)}")
        sentences.append(text)
    if not sentences:
        raise DataError("a reference has one sentence or more")
    split = ref.get("split") or ""
    if not isinstance(split, str):
        raise DataError(f"split must be a text, got {short(split)}")
    return Reference(ref.get("ref_id"), ref["image_id"], (*ids,), (*sentences,), split)
