"""Files of CVAT for images 1.1: where their images are, and the labels of a task."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET  # to build XML
from xml.parsers import expat

from rexkit.errors import DataError
from rexkit.formats.cvat import attributes_of
from rexkit.formats.cvat_shapes import WITHOUT_AREA, shape_parts
from rexkit.formats.voc import legal_xml
from rexkit.structures import Annotation

_ROOT = re.compile(rb"<([A-Za-z_][\w.-]*)")
_FLAGS = ("ignore",)


def is_cvat(path: Path) -> bool:
    """Return whether a file is CVAT's XML, by its root."""
    try:
        with path.open("rb") as file:
            start = re.sub(rb"<!--.*?-->", b"", file.read(4096), flags=re.DOTALL)
    except OSError:
        return False
    found = _ROOT.search(start)
    return found is not None and found.group(1) == b"annotations"


class CvatFile:
    """A file of which the element of any image can be read.

    The file is parsed once, without keeping it, to find the bytes of its images.

    Args:
        path: of the file.

    Attributes:
        names: of the images, in the order of the file.
        subsets: of the images; "" where they have none.
        left_out: how many shapes there are of kinds that no instance has.

    Raises:
        FileNotFoundError: it is missing.
        DataError: it is no such XML, declares a document type, is not UTF-8, or is of a video.
    """

    def __init__(self, path: Path):
        self.path = path
        self.names: list[str] = []
        self.subsets: list[str] = []
        self.left_out: Counter[str] = Counter()
        self._starts, self._ends = array("q"), array("q")
        self._open: list[str] = []
        self._image_ended = False
        self._parser = parser = expat.ParserCreate()
        # Without a document type there are no entities, so that nothing can be expanded.
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        parser.XmlDeclHandler = self._check_encoding
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.DefaultHandler = self._close
        with path.open("rb") as file:
            try:
                parser.ParseFile(file)
            except expat.ExpatError as error:
                raise DataError(f"this is not usable XML ({error})", str(path)) from error
            except DataError as error:
                raise error.at(f"{path}:{parser.CurrentLineNumber}") from error
        del self._parser, self._open  # it is not picklable

    def __len__(self) -> int:
        return len(self.names)

    def image(self, index: int) -> bytes:
        """Return the XML of an image."""
        with self.path.open("rb") as file:
            file.seek(self._starts[index])
            return file.read(self._ends[index] - self._starts[index])

    def _start(self, tag: str, fields: dict[str, str]) -> None:
        self._close("")
        if not self._open and tag != "annotations":
            raise DataError(f"the root of CVAT's XML is <annotations>, this one has <{tag[:40]}>")
        if len(self._open) == 1 and tag == "track":
            raise DataError("this is CVAT for video; export the task as 'CVAT for images 1.1'")
        if len(self._open) == 1 and tag == "image":
            if "name" not in fields:
                raise DataError("an image has no name")
            self.names.append(fields["name"])
            self.subsets.append(fields.get("subset", ""))
            self._starts.append(self._parser.CurrentByteIndex)
        if len(self._open) == 2 and self._open[1] == "image" and tag in WITHOUT_AREA:
            self.left_out[tag] += 1
        self._open.append(tag)

    def _end(self, tag: str) -> None:
        self._close("")
        self._open.pop()
        self._image_ended = len(self._open) == 1 and tag == "image"

    def _close(self, text: str) -> None:
        """Take the place of what follows an image for its end."""
        if self._image_ended:
            self._ends.append(self._parser.CurrentByteIndex)
            self._image_ended = False

    def _refuse_doctype(self, *declaration: Any) -> None:
        raise DataError("this XML declares a document type, which is not read; remove <!DOCTYPE …>")

    def _check_encoding(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise DataError(f"the file is {encoding}; save it as UTF-8")


class CvatLabels:
    """The labels of a task with their attributes, as annotations need them.

    CVAT creates them from `constructor`, pasted as "Raw" labels of a new task or project; a file of
    annotations is imported after that.
    """

    def __init__(self) -> None:
        self._attributes: dict[str, dict[str, None]] = {}
        self._types: dict[str, str] = {}
        self._keypoints: dict[str, dict[str, None]] = {}

    def add(self, annotation: Annotation) -> None:
        """Add what an annotation needs."""
        for instance in annotation.instances:
            for part, (tag, label, _) in enumerate(shape_parts(instance)):
                is_skeleton = tag == "skeleton"
                self._types[label] = "skeleton" if is_skeleton else self._types.get(label, "any")
                names = self._attributes.setdefault(label, {})
                if part == 0:
                    names.update(dict.fromkeys(attributes_of(instance)))
                if is_skeleton:
                    points = self._keypoints.setdefault(label, {})
                    points.update(dict.fromkeys(instance.keypoints or {}))

    def constructor(self) -> list[dict[str, Any]]:
        """Return the labels as CVAT's "Raw" editor takes them."""
        return [self._label(name, kind) for name, kind in self._types.items()]

    def meta(self, subsets: list[str], size: int) -> ET.Element:
        """Return the element ``<meta>`` of a file.

        Args:
            subsets: of a project; those of a task are [""].
            size: the number of images.
        """
        meta = ET.Element("meta")
        is_project = any(subsets)
        holder = ET.SubElement(meta, "project" if is_project else "task")
        ET.SubElement(holder, "name").text = "rexkit"
        if is_project:
            ET.SubElement(holder, "subsets").text = "\n".join(map(legal_xml, subsets))
        else:
            ET.SubElement(holder, "size").text = str(size)
            ET.SubElement(holder, "mode").text = "annotation"
        labels = ET.SubElement(holder, "labels")
        for name, kind in self._types.items():
            self._add_label(labels, name, kind, [*self._attributes[name]])
            for point in self._keypoints.get(name, ()):
                self._add_label(labels, point, "points", [], parent=name)
        return meta

    def _add_label(
        self, labels: ET.Element, name: str, kind: str, attributes: list[str], parent: str = ""
    ) -> None:
        label = ET.SubElement(labels, "label")
        ET.SubElement(label, "name").text = legal_xml(name)
        ET.SubElement(label, "type").text = kind
        listed = ET.SubElement(label, "attributes")
        for spec in map(_attribute, attributes):
            attribute = ET.SubElement(listed, "attribute")
            for field in ("name", "mutable", "input_type", "default_value"):
                ET.SubElement(attribute, field).text = legal_xml(str(spec[field]))
            ET.SubElement(attribute, "values").text = "\n".join(spec["values"])
        if parent:
            ET.SubElement(label, "parent").text = legal_xml(parent)

    def _label(self, name: str, kind: str) -> dict[str, Any]:
        specs = [*map(_attribute, self._attributes[name])]
        label: dict[str, Any] = {"name": name, "type": kind, "attributes": specs}
        if kind == "skeleton":
            points = [*self._keypoints[name]]
            label["sublabels"] = [{"name": p, "type": "points", "attributes": []} for p in points]
            label["svg"] = "".join(_circles(points))
        return label


def _attribute(name: str) -> dict[str, Any]:
    is_flag = name in _FLAGS
    return {
        "name": name,
        "mutable": False,
        "input_type": "checkbox" if is_flag else "text",
        "default_value": "false" if is_flag else "",
        "values": ["false"] if is_flag else [""],
    }


def _circles(points: list[str]) -> Iterator[str]:
    """Yield the template of a skeleton, its points in rows of five."""
    for number, name in enumerate(points):
        fields: Mapping[str, Any] = {
            "r": 1.5,
            "cx": 10 + 20 * (number % 5),
            "cy": 10 + 15 * (number // 5),
            "data-type": "element node",
            "data-element-id": number + 1,
            "data-node-id": number + 1,
            "data-label-name": legal_xml(name),
        }
        circle = ET.Element("circle", {key: str(value) for key, value in fields.items()})
        yield ET.tostring(circle, encoding="unicode")
