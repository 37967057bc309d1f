"""Label Studio's tasks: an image, its annotations and predictions, read and written.

The form is that of https://labelstud.io/guide/task_format. A region without a shape of its own in
its results is found by its id, as the editor does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET  # to build XML

import numpy as np

from rexkit.errors import DataError
from rexkit.formats.coordinates import short
from rexkit.formats.images import IMAGE_SUFFIXES
from rexkit.formats.json_fields import list_field
from rexkit.formats.labelstudio import ABSENT, IGNORE, INVISIBLE
from rexkit.formats.labelstudio_shapes import shape_results
from rexkit.formats.path_ends import path_ends
from rexkit.formats.voc import legal_xml
from rexkit.structures import Annotation, Instance

_ANNOTATIONS = ("annotations", "completions")  # the latter before version 1.0
_UPLOADED = re.compile("[0-9a-f]{8}-(?=.)")
_CONTROLS = {
    "rectanglelabels": ("RectangleLabels", "box"),
    "polygonlabels": ("PolygonLabels", "polygon"),
    "brushlabels": ("BrushLabels", "mask"),
    "keypointlabels": ("KeyPointLabels", "point"),
}
"""The tag and the name of what draws each type of result."""


def is_labelstudio_task(value: Any) -> bool:
    """Return whether a parsed JSON value is a task, annotated or not."""
    lists = (*_ANNOTATIONS, "predictions")
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("data"), Mapping)
        and any(isinstance(value.get(name), list) for name in lists)
    )


def chosen_annotation(task: Mapping[str, Any], predictions: bool = False) -> Any:
    """Return the annotation of a task that counts: the latest that was not skipped.

    Args:
        task: the task.
        predictions: take the latest prediction where there is no such annotation.

    Returns:
        The annotation, or None where there is none.

    Raises:
        DataError: there is something else than a list of annotations.
    """
    named = next((name for name in _ANNOTATIONS if task.get(name)), _ANNOTATIONS[0])
    lists = [list_field(task, named)]
    lists += [list_field(task, "predictions")] if predictions else []
    for listed in lists:
        kept = [a for a in listed if not (isinstance(a, Mapping) and a.get("was_cancelled"))]
        if kept:
            return max(reversed(kept), key=_time)
    return None


def image_reference(task: Mapping[str, Any], image_key: str | None = None) -> str:
    """Return what a task says of its image: an address, a path, or the image itself.

    Args:
        task: the task.
        image_key: the field of ``data`` that has it; None takes "image", or the only field that
            looks like one.

    Raises:
        DataError: it is not known which field it is, or it is no text.
    """
    data = task["data"]
    if image_key is None:
        likely = [k for k, v in data.items() if isinstance(v, str) and _looks_like_image(v)]
        image_key = "image" if "image" in data or len(likely) != 1 else likely[0]
    reference = data.get(image_key)
    if not isinstance(reference, str):
        raise DataError(
            f"data has no field {image_key!r} with the image of the task, only "
            f"{short(list(data))}; set image_key to the field that has it"
        )
    return reference


def image_paths(reference: str) -> list[str]:
    """Return where the image of a task may be below a folder, the longest path first.

    Args:
        reference: an address (``https://…``, ``s3://…``), a path, that of an upload
            (``/data/upload/1/0a1b2c3d-cup.jpg``) or of a local file
            (``/data/local-files/?d=kitchen/cup.jpg``).

    >>> image_paths("/data/local-files/?d=kitchen/cup%201.jpg")
    ['kitchen/cup 1.jpg', 'cup 1.jpg']
    >>> image_paths("/data/upload/1/0a1b2c3d-cup.jpg")[-2:]
    ['0a1b2c3d-cup.jpg', 'cup.jpg']
    """
    path = reference
    if "local-files/?" in reference:
        path = (parse_qs(reference.partition("?")[2], errors="surrogateescape").get("d") or [""])[0]
    elif "://" in reference or reference.startswith("/data/"):
        try:
            path = unquote(urlsplit(reference).path, errors="surrogateescape")
        except ValueError:  # an address that is none
            path = reference
    paths = path_ends(path)
    uploaded = _UPLOADED.match(paths[-1]) if paths else None
    return paths + ([paths[-1][uploaded.end() :]] if uploaded else [])


def to_labelstudio(
    annotation: Annotation, image: str, model_version: str | None = None
) -> dict[str, Any]:
    """Return a task, which Label Studio imports with the config of `LabellingConfig`.

    Args:
        annotation: in pixels. An instance of several geometries is a region with others inside it
            (``parentID``); keypoints are in the box of their instance, or in the one around them.
            Texts, ``ignore`` and absent phrases can be edited there. Other fields of an instance
            are ``meta``, those of the annotation are in ``data``.
        image: what ``data.image`` says: an address, or ``/data/local-files/?d=PATH``.
        model_version: write a prediction of a model of this name, to be corrected, instead of an
            annotation. Its score is the mean of those of its instances.

    >>> task = to_labelstudio(Annotation((200, 100), [Instance("cup", point=[20, 20])]), "a.jpg")
    >>> task["annotations"][0]["result"][0]["value"]
    {'x': 10.0, 'y': 20.0, 'keypointlabels': ['cup']}
    """
    results: list[dict[str, Any]] = []
    taken: set[str] = set()
    for number, instance in enumerate(annotation.instances, 1):
        own = instance.extra.get("id")
        key = own if isinstance(own, str) and own and own not in taken else f"region{number}"
        taken.add(key)
        results += _results(instance, key, annotation)
    if annotation.absent:
        results.append(_result(ABSENT, ABSENT, "choices", {"choices": [*annotation.absent]}))
    extra = dict(annotation.extra)
    results += extra.pop("relations", [])
    data = {**extra, "image": image}
    if model_version is None:
        return {"data": data, "annotations": [{"result": results}]}
    scores = [i.score for i in annotation.instances if i.score is not None]
    score = {"score": float(np.mean(scores))} if scores else {}
    return {
        "data": data,
        "predictions": [{"model_version": model_version, **score, "result": results}],
    }


class LabellingConfig:
    """The labelling config of a project: what can be drawn, and the labels of each shape.

    >>> config = LabellingConfig()
    >>> config.add(to_labelstudio(Annotation((9, 9), [Instance("cup", point=[2, 2])]), "a.jpg"))
    >>> print(config.xml())
    <View>
      <Image name="image" value="$image" />
      <KeyPointLabels name="point" toName="image">
        <Label value="cup" />
      </KeyPointLabels>
    </View>
    """

    def __init__(self) -> None:
        self._labels: dict[str, dict[str, None]] = {kind: {} for kind in _CONTROLS}
        self._choices: dict[str, dict[str, None]] = {}
        self._has_text = False

    def add(self, task: Mapping[str, Any]) -> None:
        """Add what a task of `to_labelstudio` needs."""
        for listed in (task.get("annotations"), task.get("predictions")):
            for result in (r for annotation in listed or () for r in annotation["result"]):
                kind = result["type"]
                if kind in _CONTROLS:
                    self._labels[kind].update(dict.fromkeys(result["value"][kind]))
                elif kind == "choices":
                    choices = self._choices.setdefault(result["from_name"], {})
                    choices.update(dict.fromkeys(result["value"]["choices"]))
                self._has_text |= kind == "textarea"

    def xml(self) -> str:
        """Return the config."""
        view = ET.Element("View")
        ET.SubElement(view, "Image", name="image", value="$image")
        for kind, labels in self._labels.items():
            if labels:
                tag, name = _CONTROLS[kind]
                control = ET.SubElement(view, tag, name=name, toName="image")
                for label in labels:
                    ET.SubElement(control, "Label", value=legal_xml(label))
        if self._has_text:
            region = {"name": "text", "toName": "image", "perRegion": "true", "editable": "true"}
            ET.SubElement(view, "TextArea", region)
        for name, choices in self._choices.items():
            fields = {"name": name, "toName": "image", "choice": "multiple"}
            fields |= {"perRegion": "true"} if name == IGNORE else {}
            control = ET.SubElement(view, "Choices", fields)
            for choice in choices:
                ET.SubElement(control, "Choice", value=legal_xml(choice))
        ET.indent(view)
        return ET.tostring(view, encoding="unicode")


def _results(instance: Instance, key: str, annotation: Annotation) -> list[dict[str, Any]]:
    """Return the results of an instance: its first shape, what is said of it, other shapes."""
    size = dict(zip(("original_width", "original_height"), annotation.image_size, strict=True))
    shapes = shape_results(instance, annotation.image_size)
    if not shapes:
        return []
    results = []
    for number, (kind, label, value) in enumerate(shapes):
        region = key if number == 0 else f"{key}-{number}"
        result = _result(region, _CONTROLS[kind][1], kind, {**value, kind: [label]})
        inside = {"parentID": key} if number else {}
        results.append({**result, **size, "image_rotation": 0, **inside})
    first = results[0]
    if instance.score is not None:
        first["score"] = instance.score
    own = ("id", "parent", "note")
    meta = {name: value for name, value in instance.extra.items() if name not in own}
    hidden = [name for name, xy in (instance.keypoints or {}).items() if xy is None]
    meta |= {INVISIBLE: hidden} if hidden else {}
    meta |= {"text": [instance.extra["note"]]} if "note" in instance.extra else {}
    first |= {"meta": meta} if meta else {}
    first |= {"parentID": instance.extra["parent"]} if "parent" in instance.extra else {}
    if instance.text is not None:
        results.insert(1, _result(key, "text", "textarea", {"text": [instance.text]}))
    if instance.ignore:
        results.insert(1, _result(key, IGNORE, "choices", {"choices": [IGNORE]}))
    return results


def _result(key: str, name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": key, "type": kind, "from_name": name, "to_name": "image", "value": value}


def _looks_like_image(text: str) -> bool:
    if text.startswith("data:image/"):
        return True
    return any(path.lower().endswith(tuple(IMAGE_SUFFIXES)) for path in image_paths(text)[-1:])


def _time(annotation: Any) -> tuple[str, str]:
    """Return what tells the latest of several; the last of those that say nothing."""
    if not isinstance(annotation, Mapping):
        return "", ""
    created = str(annotation.get("created_at") or "")
    return str(annotation.get("updated_at") or created), created
