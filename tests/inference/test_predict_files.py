"""``rexkit predict``: from files to records and images, through a kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rexkit.cli import main
from rexkit.errors import UserError
from rexkit.inference.file_prediction import PredictionWriter, drawing_name, finished
from rexkit.inference.inputs import list_inputs, open_inputs

FAST = ["--categories", "red square, blue circle", "--options", "max_new_tokens=4"]


def draw(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).resize((64, 64)).save(path)
    return path


def records(folder: Path) -> list[dict]:
    lines = (folder / "predictions.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_folder_to_records_and_images(tmp_path, capsys):
    for number, name in enumerate(("a/cat.png", "b/cat.png", "b/cat.jpg")):
        draw(tmp_path / "in" / name, number)
    (tmp_path / "in" / "b" / "text.jpg").write_text("no image")
    (tmp_path / "in" / "notes.md").write_text("left out")
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path / "in"), "--out", str(out), *FAST]) == 1
    assert "text.jpg: the image cannot be decoded" in capsys.readouterr().err
    found = {Path(r["source"]).relative_to(tmp_path / "in").as_posix(): r for r in records(out)}
    assert list(found) == ["a/cat.png", "b/cat.jpg", "b/cat.png", "b/text.jpg"]
    drawn = {r["drawing"] for r in found.values() if "error" not in r}
    assert len(drawn) == 3
    for name in drawn:
        with Image.open(out / name) as image:
            assert image.width >= 64
    assert found["a/cat.png"]["image_size"] == [64, 64]
    assert found["a/cat.png"]["question"].startswith("Detect red square, blue circle.")
    assert "cannot be decoded" in found["b/text.jpg"]["error"]

    # A second run has nothing to do; one with another question is refused.
    before = (out / "predictions.jsonl").read_bytes()
    assert main(["predict", str(tmp_path / "in"), "--out", str(out), *FAST]) == 0
    assert (out / "predictions.jsonl").read_bytes() == before
    other = ["--categories", "dog", *FAST[2:]]
    assert main(["predict", str(tmp_path / "in"), "--out", str(out), *other]) == 2
    assert "the results of another run (categories:" in capsys.readouterr().err


def test_a_killed_run_goes_on_and_loses_or_repeats_nothing(tmp_path):
    number = 60
    for i in range(number):
        draw(tmp_path / "in" / f"{i:03d}.png", i)
    out = tmp_path / "out"
    words = ["predict", str(tmp_path / "in"), "--out", str(out), "--batch-size", "2", *FAST]
    with subprocess.Popen([sys.executable, "-m", "rexkit.cli", *words]) as process:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            time.sleep(0.005)
            if (out / "predictions.jsonl").is_file() and len(finished_lines(out)) >= 5:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    done = finished_lines(out)
    assert 5 <= len(done) < number
    with (out / "predictions.jsonl").open("a") as file:  # as a kill in the middle of a line does
        file.write('{"image": "half')
    assert main(words) == 0
    found = records(out)
    keys = [r["source"] for r in found]
    assert keys == [str(tmp_path / "in" / f"{i:03d}.png") for i in range(number)]
    assert [json.dumps(r, ensure_ascii=False) for r in found[: len(done)]] == done
    assert {r["drawing"] for r in found} == {f"images/{drawing_name(k)}" for k in keys}
    assert sorted(os.listdir(out / "images")) == sorted(drawing_name(k) for k in keys)

    whole = tmp_path / "whole"
    assert main([*words[:3], str(whole), *words[4:]]) == 0
    assert [r["raw_response"] for r in records(whole)] == [r["raw_response"] for r in found]


def finished_lines(out: Path) -> list[str]:
    data = (out / "predictions.jsonl").read_bytes()
    return data[: data.rfind(b"\n") + 1].decode().splitlines()


def test_a_damaged_record_is_an_error_and_half_a_line_is_not(tmp_path):
    file = tmp_path / "predictions.jsonl"
    file.write_text('{"source": "a"}\n{"source": "b"}\n{"so')
    assert finished(file) == {"a", "b"}
    assert file.read_text() == '{"source": "a"}\n{"source": "b"}\n'
    file.write_text('{"source": "a"}\nnonsense\n')
    with pytest.raises(UserError, match=r"predictions\.jsonl:2: no record"):
        finished(file)


def test_a_run_json_that_a_full_disk_emptied_does_not_block_its_folder(tmp_path):
    (tmp_path / "run.json").write_text("")
    with PredictionWriter(tmp_path, {"model": "a"}):
        pass
    assert json.loads((tmp_path / "run.json").read_text()) == {"model": "a"}
    (tmp_path / "run.json").write_text("")
    (tmp_path / "predictions.jsonl").write_text('{"source": "a"}\n')
    with pytest.raises(UserError, match=r"run\.json cannot be read, as after a full disk.*remove"):
        PredictionWriter(tmp_path, {"model": "a"})


def test_names_that_are_not_utf_8_or_long_are_predicted_once_and_go_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [os.fsdecode(b"caf\xe9.png"), "\u65e5" * 80 + ".png", "plain.png"]
    for name in names:
        draw(tmp_path / "in" / name)
    (tmp_path / "list.txt").write_bytes(b"".join(b"in/%b\n" % os.fsencode(n) for n in names))
    assert list_inputs(["list.txt"]) == [f"in/{name}" for name in names]
    for words in (["in"], ["list.txt"]):
        assert main(["predict", *words, "--out", "out", *FAST]) == 0
    assert sorted(r["source"] for r in records(Path("out"))) == sorted(f"in/{n}" for n in names)
    assert len(list(Path("out", "images").iterdir())) == 3
    assert main(["analyse", "out"]) == 0
    for step in (
        ["out", "coco", "--to", "coco"],
        ["coco", "rows"],
        ["rows", "yolo", "--to", "yolo"],
    ):
        assert main(["convert", *step, "--workers", "1"]) == 0
    copied = Path("yolo", "images", "train").iterdir()
    assert {os.fsencode(path.name) for path in copied} == {os.fsencode(n) for n in names}


def test_a_list_saved_as_utf_16_names_its_images(tmp_path):
    draw(tmp_path / "\u65e5.png")
    (tmp_path / "list.txt").write_text("\u65e5.png\n", "utf-16")
    assert list_inputs([str(tmp_path / "list.txt")]) == [str(tmp_path / "\u65e5.png")]


def test_every_way_to_name_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one.png", "sub/two.jpg", "sub/deep/three.webp"):
        draw(tmp_path / name)
    (tmp_path / "sub" / "list.txt").write_text(
        "two.jpg\n\n../one.png\nhttps://x/y.png\n", "utf-8-sig"
    )
    assert list_inputs(["one.png", "./one.png"]) == ["one.png"]
    assert list_inputs(["sub"]) == ["sub/deep/three.webp", "sub/two.jpg"]
    assert list_inputs(["**/*.jpg"]) == ["sub/two.jpg"]
    assert list_inputs(["sub/list.txt"]) == ["sub/two.jpg", "one.png", "https://x/y.png"]
    for nothing in ("none.png", "*.bmp"):
        with pytest.raises(UserError, match="no image or video there"):
            list_inputs([nothing])
    assert [i.key for i in open_inputs(["one.png", "sub/two.jpg"], {"one.png"})] == ["sub/two.jpg"]


def video(path: Path, frames: int = 6) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(frames):
            pixels = np.full((48, 64, 3), (40 * number, 0, 0), np.uint8)  # ever redder
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize("reader", ["av", "cv2"])
def test_the_frames_of_a_video(tmp_path, monkeypatch, reader):
    path = str(video(tmp_path / "v.avi"))
    pytest.importorskip(reader)
    if reader == "cv2":
        monkeypatch.setitem(sys.modules, "av", None)
    found = list(open_inputs([path], {f"{path}#000002"}, every=2))
    assert [f.key for f in found] == [f"{path}#000000", f"{path}#000004"]
    assert found[1].source.shape == (48, 64, 3)
    red, green, blue = found[1].source.reshape(-1, 3).mean(0)
    assert red > 140 > 20 > max(green, blue)
    out = tmp_path / "out"
    assert main(["predict", path, "--out", str(out), "--every", "2", *FAST]) == 0
    assert [r["source"][-7:] for r in records(out)] == ["#000000", "#000002", "#000004"]
    assert records(out)[0]["drawing"].startswith("images/v-000000-")


def test_a_video_without_a_reader_or_content(tmp_path, monkeypatch):
    (tmp_path / "v.mp4").write_bytes(b"nothing")
    with pytest.raises(UserError, match="the video cannot be read"):
        list(open_inputs([str(tmp_path / "v.mp4")]))
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match="pip install av"):
        list(open_inputs([str(tmp_path / "v.mp4")]))
