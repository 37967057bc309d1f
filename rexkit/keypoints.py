"""Keypoint schemas (names, skeleton, sigmas, mirror pairs) and object keypoint similarity.

A schema names its keypoints as the Rex-Omni prompts and responses do, in lower case with blanks
("left ear"). The order is that of the data set it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from rexkit.errors import did_you_mean
from rexkit.phrases import clean_phrase
from rexkit.structures import Array

__all__ = [
    "SCHEMAS",
    "KeypointSchema",
    "Keypoints",
    "Side",
    "find_schema",
    "oks",
    "schema_of",
]

Side = Literal["left", "right"]
Keypoints = Mapping[str, Array | None]
"""Name -> (2,) pixels, or None for one that is not visible: `Instance.keypoints`."""


@dataclass(frozen=True)
class KeypointSchema:
    """The keypoints of one type of object.

    Attributes:
        name: its name, such as "person".
        keypoints: names, in the order of prompts and responses.
        skeleton: the lines to draw, each from one name to another.
        sigmas: the spread of annotators for `oks`, as a share of the object's size: one for each
            keypoint, or one number for all.
        pairs: (left, right) names, which are exchanged by a horizontal flip.
        aliases: other names that files have for the keypoints, each with the name here.

    Raises:
        ValueError: the fields contradict each other.

    >>> eyes = ("left eye", "right eye")
    >>> face = KeypointSchema("face", ("nose", *eyes), [("nose", "left eye")], 0.03, [eyes])
    >>> face.sigmas, face.side("left eye"), face.side("nose")
    ((0.03, 0.03, 0.03), 'left', None)
    """

    name: str
    keypoints: Sequence[str]
    skeleton: Sequence[tuple[str, str]] = ()
    sigmas: Sequence[float] | float = ()
    pairs: Sequence[tuple[str, str]] = ()
    aliases: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", clean_phrase(self.name))
        names = tuple(clean_phrase(name) for name in self.keypoints)
        sigmas = self.sigmas
        sigmas = (sigmas,) * len(names) if isinstance(sigmas, (int, float)) else tuple(sigmas)
        if not names or len(set(names)) != len(names):
            raise ValueError(f"{self.name}: keypoints must be different names, got {names}")
        if len(sigmas) != len(names) or min(sigmas) <= 0:
            raise ValueError(
                f"{self.name}: sigmas must be a number above zero, or one for each of the "
                f"{len(names)} keypoints, got {sigmas}"
            )
        lines = {"skeleton": self.skeleton, "pairs": self.pairs}
        for title, ends in lines.items():
            cleaned = tuple((clean_phrase(a), clean_phrase(b)) for a, b in ends)
            for name in [name for end in cleaned for name in end]:
                if name not in names:
                    raise ValueError(
                        f"{self.name}: {title} has {name!r}, which is no keypoint; "
                        f"{did_you_mean(name, names)}"
                    )
            object.__setattr__(self, title, cleaned)
        for alias, name in self.aliases.items():
            if name not in names:
                raise ValueError(f"{self.name}: the alias {alias!r} is of {name!r}, no keypoint")
        object.__setattr__(self, "keypoints", names)
        object.__setattr__(self, "sigmas", sigmas)

    def side(self, name: str) -> Side | None:
        """Return the side of a keypoint, None for one in the middle."""
        if any(name == left for left, _ in self.pairs):
            return "left"
        return "right" if any(name == right for _, right in self.pairs) else None

    def array(self, keypoints: Keypoints) -> Array:
        """Return coordinates in the order of the schema: (K, 2), NaN where invisible or missing.

        Keypoints that are not in the schema are left out.
        """
        nowhere = np.full(2, np.nan)
        found = [keypoints.get(name) for name in self.keypoints]
        return np.array([nowhere if xy is None else xy for xy in found], dtype=np.float64)

    def mirrored(self, keypoints: Keypoints) -> dict[str, Array | None]:
        """Exchange left and right names, as a horizontal flip needs it, in the schema's order.

        Raises:
            ValueError: a keypoint is not in the schema.

        >>> SCHEMAS["person"].mirrored({"left eye": np.array([1.0, 2.0]), "nose": None})
        {'nose': None, 'right eye': array([1., 2.])}
        """
        if strangers := [name for name in keypoints if name not in self.keypoints]:
            raise ValueError(f"{strangers[0]!r} is no keypoint of the schema {self.name!r}")
        moved = {self.mirrored_name(name): xy for name, xy in keypoints.items()}
        return {name: moved[name] for name in self.keypoints if name in moved}

    def mirrored_name(self, name: str) -> str:
        """Return the name that a keypoint has in a mirror.

        >>> SCHEMAS["person"].mirrored_name("left eye"), SCHEMAS["person"].mirrored_name("nose")
        ('right eye', 'nose')
        """
        twins = {a: b for left, right in self.pairs for a, b in ((left, right), (right, left))}
        return twins.get(name, name)

    def own_name(self, name: str) -> str | None:
        """Return the keypoint that a name means in another spelling or as an alias, or None.

        >>> SCHEMAS["person"].own_name("LeftEye"), SCHEMAS["person"].own_name("head_top")
        ('left eye', None)
        """
        if name in self.keypoints:
            return name
        aliases = {_plain(alias): own for alias, own in self.aliases.items()}
        return ({_plain(own): own for own in self.keypoints} | aliases).get(_plain(name))

    def rename(self, names: Sequence[str]) -> list[str]:
        """Return the schema's names for the keypoints of a file, in the file's order.

        The file's names may be in any order, and in another spelling: "left_ear", "LeftEar" and
        "l_ear" are "left ear"; so may names of `aliases`. Names that are numbered alike, such as
        "joint_0", "joint_1", say nothing, so they are assigned in that order; names of the schema
        among them must then be at their place.

        Args:
            names: of the file, as many as the schema has.

        Raises:
            ValueError: the file's keypoints are not those of the schema.

        >>> SCHEMAS["hand"].rename(["wrist", *(f"joint_{i}" for i in range(20))])[1]
        'thumb root'
        """
        if len(names) != len(self.keypoints):
            raise ValueError(
                f"the schema {self.name!r} has {len(self.keypoints)} keypoints, "
                f"the file has {len(names)}: {', '.join(map(str, names))}"
            )
        found = [self.own_name(name) for name in names]
        strangers = [i for i, name in enumerate(found) if name is None]
        if not strangers and len(set(found)) == len(found):
            return [name for name in found if name is not None]
        stems = {re.sub(r"\d+", "", _plain(names[i])) for i in strangers}
        numbers = [[int(n) for n in re.findall(r"\d+", _plain(names[i]))] for i in strangers]
        numbered = all(numbers) and all(a < b for a, b in pairwise(numbers))
        in_place = all(name in (None, own) for name, own in zip(found, self.keypoints, strict=True))
        if strangers and len(stems) == 1 and numbered and in_place:
            return list(self.keypoints)
        first = (
            strangers[0] if strangers else next(i for i, n in enumerate(found) if n in found[:i])
        )
        raise ValueError(
            f"keypoint {first} of the file, {names[first]!r}, is none of the schema {self.name!r} "
            f"or is there twice; {did_you_mean(str(names[first]), self.keypoints)}; where it "
            "is the same, add it to the schema's aliases, else describe a schema of the file's own"
        )


def find_schema(schema: str | Mapping[str, Any] | KeypointSchema) -> KeypointSchema:
    """Return the schema of a name, or the one that a config describes.

    A new schema is added to `SCHEMAS`, so that transforms, metrics and visualizers find it.

    Args:
        schema: a name, the arguments of `KeypointSchema` as a mapping, or a schema.

    Raises:
        ValueError: there is no schema of that name, or a different one has the name.

    >>> find_schema("hand").keypoints[:2]
    ('wrist', 'thumb root')
    """
    if isinstance(schema, str):
        if schema not in SCHEMAS:
            raise ValueError(
                f"no keypoint schema is called {schema!r}; {did_you_mean(schema, SCHEMAS)}"
            )
        return SCHEMAS[schema]
    found = KeypointSchema(**schema) if isinstance(schema, Mapping) else schema
    if SCHEMAS.setdefault(found.name, found) != found:
        raise ValueError(f"there is another keypoint schema called {found.name!r}; rename yours")
    return found


def plain_names(names: Sequence[str]) -> list[str]:
    """Return the names of keypoints of a file, those of a known schema where they are its.

    Args:
        names: of the file, as "left_ear" and "LeftEar".

    Returns:
        In the file's order: the names of the built-in or added schema that `KeypointSchema.rename`
        finds, unless they are numbers only; else the file's in lower case and with blanks.

    >>> plain_names(["Tip", "left_side"])
    ['tip', 'left side']
    """
    if any(not re.search(r"\d", str(name)) for name in names):
        for schema in SCHEMAS.values():
            with suppress(ValueError):
                return schema.rename(names)
    return [clean_phrase(_plain(name)) for name in names]


def known_names(names: Iterable[str]) -> dict[str, str]:
    """Return what some keypoints of a labelling tool are called in a schema that has all of them.

    Args:
        names: of the keypoints that are there, which need not be all of the schema.

    Returns:
        The schema's name for each; itself where no schema has all of them.

    >>> known_names(["nose", "left_eye"]), known_names(["Tip", "left_eye"])
    ({'nose': 'nose', 'left_eye': 'left eye'}, {'Tip': 'Tip', 'left_eye': 'left_eye'})
    """
    listed = list(names)
    for schema in SCHEMAS.values():
        found = {name: own for name in listed if (own := schema.own_name(name)) is not None}
        if len(set(found.values())) == len(listed):
            return found
    return {name: name for name in listed}


def schema_of(names: Iterable[str]) -> KeypointSchema | None:
    """Return the schema that contains the most of some keypoint names.

    Of several, the smallest; None if no schema contains any of them.

    >>> schema_of(["nose", "left ear"]).name, schema_of(["nose", "left front paw"]).name
    ('person', 'animal')
    """
    wanted = set(names)

    def fit(schema: KeypointSchema) -> tuple[int, int]:
        return len(wanted.intersection(schema.keypoints)), -len(schema.keypoints)

    best = max(SCHEMAS.values(), key=fit)
    return best if fit(best)[0] else None


def oks(found: ArrayLike, true: ArrayLike, sigmas: ArrayLike, areas: ArrayLike) -> Array:
    """Compute the object keypoint similarity of every pair.

    It is the mean of exp(-d² / (2 · area · (2σ)²)) over the keypoints labelled in the ground truth.
    Source: COCO's keypoint evaluation, as pycocotools computes it.

    Args:
        found: (N, K, 2) pixels; NaN for a keypoint that is not predicted, whose similarity is 0.
        true: (M, K, 2) pixels; NaN for a keypoint that is not labelled.
        sigmas: (K,), of the schema.
        areas: (M,) square pixels, of the ground-truth objects.

    Returns:
        (N, M) in [0, 1]; 0 for a target without a labelled keypoint.

    >>> oks([[[0, 0], [3, 4]]], [[[0, 0], [0, 0]]], [0.05, 0.05], [100]).round(4)
    array([[0.5]])
    """
    sigma = np.asarray(sigmas, dtype=np.float64)
    points, wanted = (np.asarray(xy, dtype=np.float64) for xy in (found, true))
    scale = np.asarray(areas, dtype=np.float64).reshape(-1, 1) + np.spacing(1)
    error = np.square(points[:, None] - wanted).sum(axis=3) / (2 * sigma) ** 2 / scale / 2
    labelled = np.isfinite(wanted).all(axis=2)
    alike = np.where(np.isfinite(error), np.exp(-error), 0.0).sum(axis=2)
    return np.asarray(alike / np.maximum(labelled.sum(axis=1), 1))


def _plain(name: str) -> str:
    """Return a keypoint's name without the habits of files: "L_EarBase" is "left ear base".

    >>> _plain("LeftEar"), _plain("r-ankle"), _plain("forefinger 1")
    ('left ear', 'right ankle', 'forefinger1')
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-\s]+", " ", str(name)).lower().split()
    whole = " ".join({"l": "left", "r": "right"}.get(part, part) for part in apart)
    return re.sub(r" (?=\d)", "", whole)


def _both(part: str) -> tuple[str, str]:
    return f"left {part}", f"right {part}"


def _lines(*chains: str) -> list[tuple[str, str]]:
    """Split chains such as "nose - neck - root of tail" into lines."""
    return [line for chain in chains for line in pairwise(chain.split(" - "))]


def _person() -> KeypointSchema:
    """Return COCO's keypoints and sigmas; the source of both is pycocotools."""
    parts = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    pairs = [_both(part) for part in parts]
    skeleton = _lines(
        "left ear - left eye - nose - right eye - right ear",
        "left shoulder - right shoulder - right hip - left hip - left shoulder",
        "left shoulder - left elbow - left wrist",
        "right shoulder - right elbow - right wrist",
        "left hip - left knee - left ankle",
        "right hip - right knee - right ankle",
    )
    sigmas = np.repeat([0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089], 2).tolist()
    keypoints = ["nose", *(name for pair in pairs for name in pair)]
    return KeypointSchema("person", keypoints, skeleton, [0.026, *sigmas], pairs)


def _animal() -> KeypointSchema:
    """Return AP-10K's keypoints.

    Its paper gives no sigmas. Published results use COCO's in COCO's order, whatever the names, as
    mmpose has them.
    """
    legs = [
        [f"{side} {joint}" for joint in joints]
        for joints in (("shoulder", "elbow", "front paw"), ("hip", "knee", "back paw"))
        for side in ("left", "right")
    ]
    skeleton = _lines(
        "nose - left eye - right eye - nose - neck - root of tail",
        *(" - ".join(["neck", *leg]) for leg in legs[:2]),
        *(" - ".join(["root of tail", *leg]) for leg in legs[2:]),
    )
    sigmas = np.repeat([0.079, 0.072, 0.062, 0.107, 0.087, 0.089], 2).tolist()
    return KeypointSchema(
        "animal",
        [*_both("eye"), "nose", "neck", "root of tail", *(name for leg in legs for name in leg)],
        skeleton,
        [0.025, 0.025, 0.026, 0.035, 0.035, *sigmas],
        [_both("eye"), *zip(legs[0], legs[1], strict=True), *zip(legs[2], legs[3], strict=True)],
    )


def _hand() -> KeypointSchema:
    """Return the 21 keypoints of a hand: wrist, then each finger from its root to its tip.

    The names are those of the public Rex-Omni code, the sigmas those of COCO-WholeBody.
    """
    fingers = [
        [f"{finger} root" if finger == "thumb" else f"{finger}'s root"]
        + [f"{finger}'s {nth} knuckle" for nth in ("third", "second", "first")]
        for finger in ("thumb", "forefinger", "middle finger", "ring finger", "pinky finger")
    ]
    sigmas = [
        *(0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024),
        *(0.022, 0.026, 0.017, 0.021, 0.021, 0.032, 0.020, 0.019, 0.022, 0.031),
    ]
    skeleton = _lines(*(" - ".join(["wrist", *finger]) for finger in fingers))
    keypoints = ["wrist", *(name for finger in fingers for name in finger)]
    # OneHand10K, FreiHAND, and COCO-WholeBody number the joints of a finger from its root.
    aliases = {
        f"{finger}{end}{number}": name
        for parts, names in zip(
            ("thumb", "fore index", "middle", "ring", "pinky little"), fingers, strict=True
        )
        for number, name in enumerate(names, 1)
        for finger in parts.split()
        for end in ("", " finger", "finger")
    }
    return KeypointSchema("hand", keypoints, skeleton, sigmas, aliases=aliases)


def _figure() -> KeypointSchema:
    """Return the keypoints of the figures in `rexkit.datasets.StickFiguresDataset`."""
    pairs = [_both("hand"), _both("ankle")]
    skeleton = _lines("left hand - nose - right hand", "left ankle - nose - right ankle")
    return KeypointSchema("figure", ["nose", *pairs[0], *pairs[1]], skeleton, 0.05, pairs)


SCHEMAS = {schema.name: schema for schema in (_person(), _animal(), _hand(), _figure())}
"""Every schema by name: those built in, then those that `find_schema` was given."""
