"""Keypoint schemas: complete, symmetric, found by name and by their keypoints; OKS as COCO's."""

from __future__ import annotations

import numpy as np
import pytest

from rexkit.keypoints import SCHEMAS, KeypointSchema, find_schema, oks, schema_of

BUILT_IN = ("person", "animal", "hand", "figure")


@pytest.fixture
def own_schemas(monkeypatch):
    """Schemas added in a test are gone after it."""
    monkeypatch.setattr("rexkit.keypoints.SCHEMAS", dict(SCHEMAS))


@pytest.mark.parametrize(("name", "count", "pairs"), [("person", 17, 8), ("animal", 17, 7)])
def test_the_built_in_beings(name, count, pairs):
    schema = SCHEMAS[name]
    assert (len(schema.keypoints), len(schema.sigmas), len(schema.pairs)) == (count, count, pairs)
    for left, right in schema.pairs:
        assert (schema.side(left), schema.side(right)) == ("left", "right")
        assert left.removeprefix("left ") == right.removeprefix("right ")
    named = {n for n in schema.keypoints if n.startswith(("left ", "right "))}
    assert named == {name for pair in schema.pairs for name in pair}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_skeleton_joins_every_keypoint_and_is_its_own_mirror_image(name):
    schema = SCHEMAS[name]
    assert {end for line in schema.skeleton for end in line} == set(schema.keypoints)
    twin = {a: b for pair in schema.pairs for a, b in (pair, pair[::-1])}
    lines = {frozenset(line) for line in schema.skeleton}
    assert {frozenset(twin.get(end, end) for end in line) for line in lines} == lines
    assert len(lines) == len(schema.skeleton)


def test_person_is_cocos():
    from pycocotools.cocoeval import Params

    assert SCHEMAS["person"].sigmas == pytest.approx(Params("keypoints").kpt_oks_sigmas)


def test_hand_is_wrist_and_five_fingers_of_four():
    hand = SCHEMAS["hand"]
    assert len(hand.keypoints) == len(hand.sigmas) == 21
    assert [end for start, end in hand.skeleton if start == "wrist"] == list(hand.keypoints[1::4])


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_schema_is_found_by_its_keypoints(name):
    assert schema_of(SCHEMAS[name].keypoints) is SCHEMAS[name]


def test_a_stranger_does_not_hide_the_schema_and_no_schema_is_none():
    assert schema_of(["left front paw", "tip of tail"]) is SCHEMAS["animal"]
    assert schema_of(["antenna"]) is None
    assert schema_of([]) is None


@pytest.mark.usefixtures("own_schemas")
def test_a_schema_of_a_config_is_known_by_name_and_keypoints_from_then_on():
    bee = {
        "name": "bee",
        "keypoints": ["stinger", "left wing", "right wing"],
        "skeleton": [["left wing", "right wing"]],
        "sigmas": 0.04,
        "pairs": [["left wing", "right wing"]],
    }
    schema = find_schema(bee)
    assert schema.sigmas == (0.04,) * 3
    assert find_schema("bee") is schema is schema_of(["stinger"])
    assert find_schema(bee) == schema
    with pytest.raises(ValueError, match="another keypoint schema called 'bee'"):
        find_schema({**bee, "sigmas": 0.05})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"skeleton": [("nose", "left eey")]}, "skeleton has 'left eey'.*did you mean 'left eye'"),
        ({"pairs": [("left eye", "rigth eye")]}, "pairs has 'rigth eye'"),
        ({"sigmas": [0.1]}, "one for each of the 3"),
        ({"sigmas": ()}, "sigmas must be"),
        ({"sigmas": 0}, "above zero"),
        ({"keypoints": ["nose", "nose"]}, "different names"),
    ],
)
def test_what_does_not_fit_together_is_an_error(change, message):
    face = {"name": "face", "keypoints": ["nose", "left eye", "right eye"], "sigmas": 0.1}
    with pytest.raises(ValueError, match=message):
        KeypointSchema(**face | change)


def test_an_unknown_name_brings_the_nearest():
    with pytest.raises(ValueError, match="'persons'; did you mean 'person'"):
        find_schema("persons")


@pytest.mark.parametrize("name", BUILT_IN)
def test_mirrored_twice_is_as_before(name):
    schema = SCHEMAS[name]
    places = {n: np.array([i, 2.0 * i]) for i, n in enumerate(schema.keypoints)}
    mirrored = schema.mirrored(places)
    assert list(mirrored) == list(schema.keypoints)
    for left, right in schema.pairs:
        assert mirrored[left] is places[right]
    back = schema.mirrored(mirrored)
    assert all(back[n] is places[n] for n in schema.keypoints)


def test_a_mirror_refuses_a_stranger():
    with pytest.raises(ValueError, match=r"'tail' is no keypoint.*'person'"):
        SCHEMAS["person"].mirrored({"nose": None, "tail": None})


def test_an_array_is_in_order_with_nothing_for_the_invisible():
    points = SCHEMAS["figure"].array({"right hand": np.array([3.0, 4]), "nose": None, "x": None})
    assert points.shape == (5, 2)
    assert points[2].tolist() == [3, 4]
    assert np.isnan(np.delete(points, 2, 0)).all()


def test_names_of_files():
    animal = SCHEMAS["animal"]
    spelled = [name.replace(" ", "_").title() for name in animal.keypoints]
    assert animal.rename(spelled) == list(animal.keypoints)
    assert animal.rename(spelled[::-1]) == list(animal.keypoints)[::-1]
    person = SCHEMAS["person"]
    short = [n.replace("left ", "l_").replace("right ", "R-") for n in person.keypoints]
    camel = ["".join(map(str.title, n.split())) for n in person.keypoints]
    assert person.rename(short) == person.rename(camel) == list(person.keypoints)
    numbered = [f"kp{i}" for i in range(17)]
    assert person.rename(numbered) == person.rename(["nose", *numbered[1:]])


FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1)])
def test_names_of_hands(order):
    """Names say which joint of a finger it is, also where a file begins at the tip."""
    hand = SCHEMAS["hand"]
    names = [f"{finger}{i}" for finger in FINGERS for i in order]
    renamed = hand.rename([*names, "wrist"])
    assert renamed[-1] == "wrist"
    own = [hand.keypoints[1 + 4 * finger + i - 1] for finger in range(5) for i in order]
    assert renamed[:-1] == own


POSETRACK = "nose head_bottom head_top left_ear right_ear".split()


@pytest.mark.parametrize(
    ("schema", "change", "message"),
    [
        ("person", lambda n: [*POSETRACK, *n[5:]], "keypoint 1 of.*'head_bottom', is none"),
        ("person", lambda n: ["neck", *n[1:]], "keypoint 0 of the file, 'neck', is none"),
        ("person", lambda n: [n[0], n[1], n[1], *n[3:]], "keypoint 2 of the file.*there twice"),
        ("person", lambda n: ["kp0", "nose", *(f"kp{i}" for i in range(15))], "'kp0'"),
        ("person", lambda n: ["kp0", "joint1", *(f"kp{i}" for i in range(15))], "'kp0'"),
        ("person", lambda n: [f"kp{i}" for i in range(17)][::-1], "'kp16', is none"),
        ("person", lambda n: n[1:], "has 17 keypoints, the file has 16"),
        ("person", lambda n: SCHEMAS["animal"].keypoints, "'neck', is none"),
        ("hand", lambda n: ["palm", *n[1:]], "'palm', is none"),
    ],
)  # fmt: skip
def test_names_that_are_not_those_of_the_schema(schema, change, message):
    with pytest.raises(ValueError, match=message):
        SCHEMAS[schema].rename(change(list(SCHEMAS[schema].keypoints)))


def test_an_alias_is_of_a_keypoint():
    with pytest.raises(ValueError, match="the alias 'tail' is of 'trunk', no keypoint"):
        KeypointSchema("leaf", ["tip"], sigmas=0.1, aliases={"tail": "trunk"})
    leaf = KeypointSchema("leaf", ["tip", "stem"], sigmas=0.1, aliases={"Base": "stem"})
    assert leaf.rename(["base", "tip"]) == ["stem", "tip"]


def test_oks_is_cocos():
    from pycocotools.cocoeval import COCOeval

    def annotation(points, shown):
        triples = np.column_stack([points, np.where(shown, 2, 0)])
        return {"keypoints": triples.ravel().tolist(), "score": 1.0, "bbox": [0, 0, 1, 1]}

    rng = np.random.default_rng(0)
    found, true = rng.uniform(0, 50, (40, 17, 2)), rng.uniform(0, 50, (30, 17, 2))
    found[:30] = true + rng.normal(0, 3, true.shape)
    labelled, areas = rng.random((30, 17)) < 0.7, rng.uniform(50, 5000, 30)
    reference = COCOeval(iouType="keypoints")
    targets = [
        {**annotation(p, s), "area": a} for p, s, a in zip(true, labelled, areas, strict=True)
    ]
    reference.params.maxDets = [len(found)]
    reference._gts = {(1, 1): targets}
    reference._dts = {(1, 1): [annotation(p, np.full(17, True)) for p in found]}
    true = np.where(labelled[..., None], true, np.nan)
    mine = oks(found, true, SCHEMAS["person"].sigmas, areas)
    assert np.abs(mine - reference.computeOks(1, 1)).max() < 1e-12
    assert mine.max() > 0.5


def test_oks_of_what_is_not_there():
    true = [[[0, 0], [9, 9]], [[np.nan] * 2] * 2]
    found = [[[0, 0], [9, 9]], [[0, 0], [np.nan] * 2]]
    assert oks(found, true, [0.1, 0.1], [10, 10]).tolist() == [[1, 0], [0.5, 0]]
    assert oks(np.empty((0, 2, 2)), true, [0.1, 0.1], [10, 10]).shape == (0, 2)
