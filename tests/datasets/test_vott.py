"""VoTT's assets and exports, and data sets of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from annotation_strategies import annotations, plain
from hypothesis import given, settings
from PIL import Image

from rexkit.conversion import find_format
from rexkit.errors import DataError
from rexkit.formats.annotation_records import read_record
from rexkit.formats.vott import asset_paths, read_vott, to_vott
from rexkit.instances import extent
from rexkit.registry import DATASETS
from rexkit.structures import Annotation

SIZE = (64, 48)


def region(kind, *points, tags=("cup",), box=None, **fields):
    corners = [{"x": x, "y": y} for x, y in points]
    bounds = {} if box is None else {"boundingBox": box}
    return {"id": "r", "type": kind, "tags": [*tags], "points": corners, **bounds, **fields}


def asset(*regions, name="a.png", state=2, kind=1, **fields):
    size = {"width": 64, "height": 48}
    found = {"id": name, "name": name, "path": f"file:/home/me/{name}", "size": size}
    return {"asset": {**found, "state": state, "type": kind}, "regions": [*regions], **fields}


BOX = {"left": 2.5, "top": 3, "width": 10, "height": 20}


def read(*regions, **options):
    return read_record(read_vott(asset(*regions), **options), SIZE)


def test_regions():
    box, square, polygon, point, one, other = read(
        region("RECTANGLE", (2.5, 3), (12.5, 3), (12.5, 23), (2.5, 23), box=BOX, note="x"),
        region("SQUARE", (1, 1), (5, 1), (5, 5), (1, 5)),
        region("POLYGON", (0, 0), (9, 0), (9, 9), box=dict(left=0, top=0, width=9, height=9)),
        region("POINT", (7, 8), box=dict(left=7, top=8, width=0, height=0)),
        region("POLYLINE", (0, 0), (9, 9)),
        region("RECTANGLE", box=BOX, tags=["dog", "wet"]),
    ).instances
    assert box.bbox.tolist() == [2.5, 3, 12.5, 23]
    assert box.extra == {"id": "r", "note": "x"}
    assert square.bbox.tolist() == [1, 1, 5, 5]
    assert polygon.polygon.tolist() == [[0, 0], [9, 0], [9, 9]]
    assert (point.point.tolist(), point.bbox) == ([7, 8], None)
    assert [one.phrase, other.phrase] == ["dog", "wet"]
    assert read(region("RECTANGLE", box=BOX, tags=[]), phrase="thing").phrases == ["thing"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (asset(region("RECTANGLE", box=BOX, tags=[])), "has no tag; set phrase"),
        (asset(region("BLOB", (1, 1))), r"regions\[0\] is a 'BLOB' of 1 points"),
        (asset(region("POINT", (1, 1), (2, 2))), "is a 'POINT' of 2 points"),
        (asset(region("RECTANGLE")), "has neither boundingBox nor points"),
        (asset(region("RECTANGLE", box={"left": "1"})), "must be four numbers"),
        (asset(region("POLYGON", ("a", 1))), "points must be"),
        (asset(3), "must be an object, got 3"),
        (asset(kind=2, name="a.mp4"), "'a.mp4' is no image"),
        ({"asset": {}}, "no 'asset' and 'regions'"),
    ],
)
def test_assets_that_cannot_be_used(value, message):
    with pytest.raises(DataError, match=message):
        read_vott(value)


@given(annotations())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(annotation):
    value = json.loads(json.dumps(to_vott(annotation, "x/a b.png")))
    assert asset_paths(value["asset"])[0] == "x/a b.png"
    found = read_record(read_vott(value), annotation.image_size)
    kept = [i for i in annotation.instances if not np.isnan(extent(i)).any()]
    kept.sort(key=lambda i: i.ignore)
    assert len(kept) == len(found.instances)
    for one, other in zip(kept, found.instances, strict=True):
        if other.bbox is not None:
            np.testing.assert_allclose(other.bbox, extent(one), atol=1e-9)
        other.bbox = one.bbox
        other.extra = {name: v for name, v in other.extra.items() if name in one.extra}
    assert plain(Annotation(SIZE, kept, annotation.absent)) == plain(
        Annotation(SIZE, found.instances, found.absent)
    )


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "v.mp4#t=1.5.jpg"):
        Image.new("RGB", SIZE).save(tmp_path / name)
    return tmp_path


def opened(path, **options):
    return DATASETS.build(dict(type="VottDataset", root=str(path), **options))


def export(path, *assets):
    listed = {a["asset"]["id"]: a for a in assets}
    project = {"name": "p", "securityToken": "t", "tags": [{"name": "cup"}], "assets": listed}
    path.write_text(json.dumps(project, indent=4))


def test_an_export(folder, caplog):
    line = region("POLYLINE", (0, 0), (9, 9))
    frame = asset(region("RECTANGLE", box=BOX), name="v.mp4#t=1.5", kind=3)
    rows = [asset(line), asset(name="b.png", state=1), asset(name="c.png", state=0), frame]
    export(folder / "p-export.json", *rows, asset(name="gone.png"))
    dataset = opened(folder)
    assert (len(dataset), dataset.not_visited, dataset.left_out_shapes) == (4, 1, 1)
    assert "1 assets nobody visited" in caplog.text
    assert [len(dataset[i].annotation.instances) for i in range(3)] == [0, 0, 1]
    with pytest.raises(DataError, match=r"p-export.json: gone.png: there is no image"):
        dataset[3]
    assert len(opened(folder / "p-export.json", on_error="skip")) == 3
    name, found, _ = find_format(folder)
    assert (name, list(found.open(folder, None))) == ("vott", [""])


def test_the_files_of_assets(folder):
    for name in ("a.png", "b.png"):
        value = asset(region("RECTANGLE", box=BOX), name=name)
        (folder / f"{name}-asset.json").write_text(json.dumps(value))
    assert [s.annotation.phrases for s in opened(folder)] == [["cup"], ["cup"]]
    assert find_format(folder)[0] == "vott"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "p", "tags": [], "assets": {"a": {"name": "a.png"}}}, "a project of VoTT, whose"),
        ({"frames": {"a.png": []}, "tags": []}, "this is of VoTT 1: open it in VoTT 2"),
        ({"assets": {}, "tags": []}, "none of its 0 assets was visited"),
    ],
)
def test_files_that_cannot_be_used(folder, value, message):
    (folder / "p.vott").write_text(json.dumps(value))
    with pytest.raises(DataError, match=message):
        opened(folder / "p.vott")
