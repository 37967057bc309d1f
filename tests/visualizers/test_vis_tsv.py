"""Looking at TSV files."""

from __future__ import annotations

import random
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from PIL import Image

from rexkit.cli import run
from rexkit.cli.vis_tsv_command import main
from rexkit.datasets import TSVDataset
from rexkit.formats import TSVWriter
from rexkit.visualizers import PillowVisualizer
from rexkit.visualizers.colors import phrase_color

SIZE = (96, 64)


def write(folder: Path, records: list[dict], broken: int | None = None) -> list[str]:
    """Files of one grey image a record, one of them damaged; the words that name them."""
    files = [folder / name for name in ("d.images.tsv", "d.annotations.tsv", "d.lineidx")]
    with TSVWriter(*files) as writer:
        for number, record in enumerate(records):
            buffer = BytesIO()
            Image.new("RGB", SIZE, (number, number, number)).save(buffer, "PNG")
            image = buffer.getvalue()
            writer.write(image[:40] if number == broken else image, record)
        writer.commit()
    flags = ("--img_tsv_file", "--ann_tsv_file", "--ann_lineidx_file")
    return [word for flag, file in zip(flags, files, strict=True) for word in (flag, str(file))]


def cup(number: int) -> dict:
    boxes = [{"bbox": [20 + number, 30, 60, 50], "phrase": "cup"}, {"bbox": None, "phrase": "dog"}]
    return {"boxes": boxes}


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_draws_what_the_files_hold(tmp_path):
    words = write(tmp_path, [cup(n) for n in range(3)])
    out = tmp_path / "images" / "here"
    assert main([*words, "--output_dir", str(out)]) == 0
    assert names(out) == ["00000.png", "00001.png", "00002.png"]
    for number, sample in enumerate(TSVDataset(*words[1::2])):
        expected = PillowVisualizer(show_absent=True).draw(sample.image, sample.annotation)
        image = np.asarray(Image.open(out / f"{number:05d}.png"))
        assert np.array_equal(image, np.asarray(expected))
        assert tuple(image[40, 20 + number]) == phrase_color("cup")
        assert len(image) > SIZE[1]  # the strip that says there is no dog


def test_samples_are_spread_over_the_file(tmp_path):
    words = write(tmp_path, [cup(n) for n in range(9)])
    assert main([*words, "--output_dir", str(tmp_path / "out"), "--num_samples", "3"]) == 0
    assert names(tmp_path / "out") == ["00000.png", "00003.png", "00006.png"]


def test_rows_of_ones_choice(tmp_path, capsys):
    words = write(tmp_path, [cup(n) for n in range(9)])
    chosen = [*words, "--output_dir", str(tmp_path / "a"), "--indices", "7", "1", "7"]
    assert main([*chosen, "--num_samples", "1"]) == 0
    assert names(tmp_path / "a") == ["00001.png", "00007.png"]
    assert run(main, [*chosen, "9"]) == 2
    assert "--indices: there is no row 9, the files have 9" in capsys.readouterr().err

    assert (
        main([*words, "--output_dir", str(tmp_path / "b"), "--seed", "7", "--num_samples", "4"])
        == 0
    )
    # As the public tool draws: the module's generator, seeded, shuffles all rows.
    random.seed(7)
    rows = list(range(9))
    random.shuffle(rows)
    assert names(tmp_path / "b") == sorted(f"{row:05d}.png" for row in rows[:4])


def test_box_format_and_font_size(tmp_path):
    record = {"boxes": [{"bbox": [20, 30, 40, 20], "phrase": "cup"}]}
    words = write(tmp_path, [record])
    images = {}
    for name, more in (
        ("xywh", ["--box_format", "xywh"]),
        ("large", ["--box_format", "xywh", "--font_size", "20"]),
    ):
        assert main([*words, "--output_dir", str(tmp_path / name), *more]) == 0
        images[name] = np.asarray(Image.open(tmp_path / name / "00000.png"))
    for size, name in ((None, "xywh"), (20, "large")):
        [sample] = TSVDataset(*words[1::2], box_format="xywh")
        expected = PillowVisualizer(font_size=size).draw(sample.image, sample.annotation)
        assert np.array_equal(images[name], np.asarray(expected))
    assert (images["xywh"] != images["large"]).any()
    assert tuple(images["xywh"][40, 59]) == phrase_color("cup")
    # As xyxy the box is upside down.
    assert main([*words, "--output_dir", str(tmp_path / "xyxy")]) == 1


def test_show(tmp_path, monkeypatch):
    words = write(tmp_path, [cup(n) for n in range(3)])
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda image, title: shown.append(title))
    assert main([*words, "--show", "--num_samples", "2"]) == 0
    assert shown == [f"{tmp_path / 'd.annotations.tsv'}:{line}" for line in (1, 2)]


def test_broken_row_is_listed_and_the_rest_is_drawn(tmp_path, capsys):
    words = write(tmp_path, [cup(n) for n in range(3)], broken=1)
    assert main([*words, "--output_dir", str(tmp_path / "out")]) == 1
    assert names(tmp_path / "out") == ["00000.png", "00002.png"]
    err = capsys.readouterr().err
    assert f"{tmp_path / 'd.annotations.tsv'}:2: " in err
    assert "2 of 3 samples drawn" in err


def test_words_that_make_no_sense(tmp_path, capsys):
    words = write(tmp_path, [cup(0)])
    out = [*words, "--output_dir", "x"]
    for wrong in ([*out, "--num_samples", "0"], [*out, "--font_size", "0"], words):
        with pytest.raises(SystemExit) as stop:
            main(wrong)
        assert stop.value.code == 2
    missing = [*words, "--output_dir", str(tmp_path / "out")]
    missing[1] = str(tmp_path / "none.images.tsv")
    assert run(main, missing) == 2
    assert "none.images.tsv" in capsys.readouterr().err


def test_the_tool_itself(tmp_path):
    words = write(tmp_path, [cup(0)])
    words += ["--output_dir", str(tmp_path / "out"), "--num_samples", "5"]
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "vis_tsv_dataset.py", *words],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == ["00000.png"]
