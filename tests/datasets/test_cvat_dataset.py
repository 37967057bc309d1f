"""CVAT's exports as data sets."""

from __future__ import annotations

import pytest
from PIL import Image

from rexkit.conversion import find_format
from rexkit.errors import DataError
from rexkit.registry import DATASETS

BOX = '<box label="{}" xtl="1" ytl="1" xbr="9" ybr="9"/>'


def image(name, label, subset="", width=40):
    subset = f'subset="{subset}"' if subset else ""
    return f'<image name="{name}" {subset} width="{width}" height="20">{BOX.format(label)}</image>'


def opened(path, **options):
    return DATASETS.build(dict(type="CvatDataset", ann_file=str(path), **options))


@pytest.fixture
def project(tmp_path):
    images = ("images/Train/a.png", "images/Validation/a.png", "images/Validation/sub/b.png")
    for name in images:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20)).save(tmp_path / name)
    rows = [
        image("a.png", "cup", "Train"),
        image("a.png", "dog", "Validation"),
        image("sub/b.png", "cat", "Validation"),
    ]
    (tmp_path / "annotations.xml").write_text(f"<annotations>{''.join(rows)}</annotations>")
    return tmp_path


def test_the_subsets_of_a_project(project):
    dataset = opened(project / "annotations.xml")
    assert [s.annotation.phrases for s in dataset] == [["cup"], ["dog"], ["cat"]]
    held = opened(project, subset="Validation")
    assert [s.image_path for s in held] == [
        str(project / "images" / "Validation" / name) for name in ("a.png", "sub/b.png")
    ]
    with pytest.raises(DataError, match="no subset 'Valid'; did you mean 'Validation'"):
        opened(project, subset="Valid")
    name, found, _ = find_format(project)
    splits = found.open(project, None)
    assert (name, list(splits)) == ("cvat", ["train", "val"])
    assert splits["val"].image_root == project / "images" / "Validation"


def test_several_jobs_and_bad_rows(project):
    for job, rows in (("job_1", image("a.png", "cup")), ("job_2", image("a.png", "x", width=9))):
        (project / "jobs").mkdir(exist_ok=True)
        (project / "jobs" / f"{job}.xml").write_text(f"<annotations>{rows}</annotations>")
    (project / "jobs" / "other.xml").write_text("<annotation/>")
    images = str(project / "images" / "Train")
    dataset = opened(project / "jobs", image_dir=images)
    assert dataset[0].annotation.phrases == ["cup"]
    with pytest.raises(
        DataError, match=r"job_2.xml: a.png: the annotation is for an image of 9x20"
    ):
        dataset[1]
    assert len(opened(project / "jobs", image_dir=images, on_error="skip")) == 1


def test_shapes_without_area_are_counted(project, caplog):
    row = (
        '<image name="a.png" width="40" height="20"><polyline label="x" points="1,1;2,2"/></image>'
    )
    (project / "lines.xml").write_text(f"<annotations>{row * 2}</annotations>")
    dataset = opened(project / "lines.xml", image_dir=str(project / "images" / "Train"))
    assert dataset.left_out_shapes == {"polyline": 2}
    assert "shapes without area are left out: 2 polyline" in caplog.text
    assert dataset[0].annotation.instances == []
