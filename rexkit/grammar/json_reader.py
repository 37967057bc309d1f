"""The reader of keypoint JSON and of the reference boxes in visual prompts.

Keypoint JSON is ``{"person1": {"bbox": " <1> <2> <3> <4> ", "keypoints": {"nose": " <5> <6> ",
"left ear": "unvisible"}}}``, usually in a fence. It is scanned token by token rather than loaded:
text that was cut at the token limit still gives what it holds, and every problem has its offset.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import numpy as np

from rexkit.grammar.bins import to_pixels
from rexkit.grammar.lazy_instances import BOX
from rexkit.grammar.problems import problem
from rexkit.grammar.tokens import BIN_OF, INVISIBLE
from rexkit.structures import Array, ImageSize, Instance, Problem

_OPENING = re.compile(r"(?:\A\s*|(?P<fence>```[A-Za-z]*\s*))[{\[]|\{(?=\s*\")")
_CLOSING_FENCE = re.compile(r"\s*```")
_TOKEN = re.compile(
    r'"(?P<string>(?:[^"\\]+|\\.)*)(?P<quote>"?)(?:\s*(?P<colon>:))?'
    r'|(?P<open>[{\[])|(?P<close>[}\]])|(?P<literal>[^\s,:{}\[\]"]+)',
    re.DOTALL,
)
_BRACKETED = re.compile(r"<[^<>]*>")
_DIGITS = "0123456789"
_POINT = 2


def read_keypoints(
    text: str, image_size: ImageSize, *, ended: bool
) -> tuple[list[Instance], list[Problem]]:
    """Read a text without spans: keypoint JSON, JSON of another kind, or neither.

    The instance "person1" gets the phrase "person". Keypoints that cannot be read are omitted;
    invisible ones are None.

    Args:
        text: the text up to its end of turn.
        image_size: (width, height) of the original image in pixels.
        ended: whether an end of turn followed; without it the text may have been cut off.

    Returns:
        The instances, and the problems in the order they were found.

    >>> text = '{"person1": {"bbox": "<0><0><9><9>", "keypoints": {"nose": "<0><6>", "ear": "unv'
    >>> people, problems = read_keypoints(text, (999, 999), ended=False)
    >>> people[0].phrase, people[0].keypoints
    ('person', {'nose': array([0., 6.])})
    >>> [(p.kind, p.offset) for p in problems]
    [('truncated', 69)]
    """
    opening = _OPENING.search(text)
    if opening is None:
        return [], [problem("junk", 0, "neither a span nor JSON")]
    scan = _Scan(text, image_size)
    if text[: opening.start()].strip():
        scan.report("junk", 0, "text before the JSON")
    root = opening.end() - 1
    if text[root] == "[":
        scan.report("foreign_json", root, "a list")
        return [], scan.problems
    end = scan.run(root)
    unfinished = "bad_json" if ended else "truncated"
    if end is None:
        scan.report(unfinished, scan.offset, "the JSON is not closed")
        return scan.instances, scan.problems
    scan.check_syntax(root, end)
    if opening["fence"]:
        fence = _CLOSING_FENCE.match(text, end)
        if fence is None:
            scan.report(unfinished, end, "the fence is not closed")
        else:
            end = fence.end()
    if text[end:].strip():
        scan.report("junk", end, "text after the JSON")
    return scan.instances, scan.problems


def read_references(text: str, image_size: ImageSize) -> dict[str, Array]:
    """Read the reference boxes of a visual prompt.

    Args:
        text: the prompt, or only its JSON.
        image_size: (width, height) of the original image in pixels.

    Returns:
        For each name (N, 4) xyxy pixels.

    Raises:
        ValueError: the text has no reference boxes, or one does not have four coordinates.

    >>> prompt = 'Given reference boxes {"object_1": ["<0><0><9><9>"]} indicating one object, find'
    >>> read_references(prompt, (999, 999))
    {'object_1': array([[0., 0., 9., 9.]])}
    """
    try:
        found, _ = json.JSONDecoder().raw_decode(text, max(0, text.find("{")))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no reference boxes in {text[:80]!r}: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"reference boxes must be a JSON object, got {text[:80]!r}")
    references = {}
    for name, boxes in found.items():
        bins = [_bins(box) for box in boxes] if isinstance(boxes, list) else [None]
        if any(box is None or len(box) != BOX for box in bins):
            raise ValueError(f"{name!r} must list boxes of four coordinates each, got {boxes!r}")
        references[name] = to_pixels(np.array(bins, dtype=np.int64).reshape(-1, BOX), image_size)
    return references


def _bins(spelled: object) -> list[int] | None:
    """Return the bins of coordinate tokens, or None if the text is anything else."""
    tokens = _BRACKETED.findall(spelled) if isinstance(spelled, str) else []
    if not tokens or "".join(tokens) != "".join(str(spelled).split()):
        return None
    bins = [BIN_OF.get(token, -1) for token in tokens]
    return None if -1 in bins else bins


@dataclass
class _OpenInstance:
    """The instance being read, in bins."""

    name: str
    offset: int
    bbox: list[int] | None = None
    keypoints: dict[str, list[int] | None] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)


class _Scan:
    """A pass over the tokens of the JSON that tracks the keys enclosing the current one."""

    def __init__(self, text: str, image_size: ImageSize):
        self.instances: list[Instance] = []
        self.problems: list[Problem] = []
        self.offset = 0  # the offset of the last key without a value, or of the end
        self._text = text
        self._image_size = image_size
        self._names: set[str] = set()
        self._open_instance: _OpenInstance | None = None
        self._path: list[str] = []
        self._key = ""

    def run(self, start: int) -> int | None:
        """Scan from the opening brace; return the offset after its closing brace, or None."""
        for token in _TOKEN.finditer(self._text, start):
            offset = token.start()
            if token["open"]:
                self._open(token["open"], offset)
            elif token["close"]:
                self._path.pop()
                if not self._path:
                    return token.end()
                if len(self._path) == 1:
                    self._finish()
            elif token["literal"]:
                self._value(token["literal"], offset)
            elif not token["quote"]:
                break
            elif token["colon"]:
                self._key, self.offset = _unescape(token["string"]).strip(), offset
            else:
                self._value(_unescape(token["string"]).strip(), offset)
        self._finish(cut=True)
        if not self._key:
            self.offset = len(self._text)
        return None

    def check_syntax(self, start: int, end: int) -> None:
        """Report the first syntax error between two offsets, if any."""
        try:
            json.loads(self._text[start:end])
        except json.JSONDecodeError as error:
            self.report("bad_json", start + error.pos, error.msg)
        except (ValueError, RecursionError) as error:
            self.report("bad_json", start, str(error))

    def report(self, kind: str, offset: int, detail: str) -> None:
        """Add a problem."""
        self.problems.append(problem(kind, offset, detail))

    def _open(self, bracket: str, offset: int) -> None:
        key, self._key = self._key, ""
        depth = len(self._path)
        if depth == 1 and bracket == "{" and key:
            self._open_instance = _OpenInstance(key, self.offset)
        elif depth == 2 and bracket == "{" and self._open_instance and key == "keypoints":
            self._open_instance.keys.add(key)
        elif depth:
            self._foreign(key, offset)
            key = ""  # everything below it is ignored
        self._path.append(key)

    def _value(self, value: str, offset: int) -> None:
        key, self._key = self._key, ""
        instance = self._open_instance
        if instance and key == "bbox" and len(self._path) == 2:
            instance.keys.add(key)
            instance.bbox = self._box(value, offset)
        elif instance and key and len(self._path) == 3 and self._path[2] == "keypoints":
            if key in instance.keypoints:
                self.report("bad_json", self.offset, f"{key!r} is there twice")
            if value == INVISIBLE:
                instance.keypoints[key] = None
            elif point := self._coordinates(value, _POINT, offset):
                instance.keypoints[key] = point
        else:
            self._foreign(key, offset)

    def _foreign(self, key: str, offset: int) -> None:
        """Report a value that keypoint JSON does not have, once, where it starts."""
        instance = (
            self._open_instance if len(self._path) <= 3 and "" not in self._path[1:] else None
        )
        if instance:
            instance.keys.add(key)
        if instance or len(self._path) == 1:
            self.report("foreign_json", offset, repr(key))

    def _box(self, value: str, offset: int) -> list[int] | None:
        box = self._coordinates(value, BOX, offset)
        if box is None:
            return None
        x0, y0, x1, y1 = box
        if x1 < x0 or y1 < y0:
            self.report("inverted_box", offset, value)
        elif x0 == x1 or y0 == y1:
            self.report("flat_box", offset, value)
        return [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]

    def _coordinates(self, value: str, expected: int, offset: int) -> list[int] | None:
        tokens = _BRACKETED.findall(value)
        if junk := _BRACKETED.sub("", value).strip():
            self.report("junk", offset, repr(junk[:40]))
        wrong = [token for token in tokens if token not in BIN_OF]
        if wrong:
            self.report("out_of_range", offset, wrong[0][:40])
        elif len(tokens) == expected:
            return [BIN_OF[token] for token in tokens]
        elif tokens or not junk:
            self.report("odd_coordinates", offset, f"{len(tokens)} instead of {expected}")
        return None

    def _finish(self, cut: bool = False) -> None:
        """Add the open instance, complete or cut off, to the instances."""
        instance, self._open_instance = self._open_instance, None
        if instance is None:
            return
        if instance.name in self._names:
            self.report("bad_json", instance.offset, f"{instance.name!r} is there twice")
        self._names.add(instance.name)
        if not instance.keys and not cut:
            self.report("foreign_json", instance.offset, repr(instance.name))
        if instance.bbox is None and not instance.keypoints:
            return
        if "bbox" not in instance.keys and not cut:
            self.report("no_geometry", instance.offset, repr(instance.name))
        visible = {name: xy for name, xy in instance.keypoints.items() if xy is not None}
        pixels = to_pixels(np.array([*visible.values()]).reshape(-1, _POINT), self._image_size)
        points = dict(zip(visible, pixels, strict=True))
        self.instances.append(
            Instance(
                phrase=instance.name.rstrip(_DIGITS).strip() or instance.name,
                bbox=None if instance.bbox is None else to_pixels(instance.bbox, self._image_size),
                keypoints={name: points.get(name) for name in instance.keypoints},
                name=instance.name,
            )
        )


def _unescape(string: str) -> str:
    if "\\" not in string:
        return string
    try:
        return str(json.loads(f'"{string}"', strict=False))
    except ValueError:  # check_syntax reports it
        return string
