"""``rexkit predict --engine ray``: the plain engine's files, through the death of a worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_predict_files import draw, records, video

pytest.importorskip("ray.data")

from rexkit.cli import main
from rexkit.errors import UserError
from rexkit.inference.file_prediction import predict_files
from rexkit.inference.predictor import Predictor
from rexkit.inference.ray_prediction import predict_files_on_ray, start_ray

QUESTION = {"task": "detection", "categories": ["red square", "blue circle"]}
WORDS = ["--categories", "red square, blue circle", "--options", "max_new_tokens=6"]


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[Any]:
    """One Ray for all tests here, started as the command starts it."""
    started = start_ray()
    yield started
    started.shutdown()


def descendants(pid: int) -> dict[int, str]:
    """The processes below one, with their names."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
            names[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it has ended
        parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return {child: names.get(child, "") for child in below - {pid}}


def without_times(found: list[dict]) -> dict[str, dict]:
    return {r["source"]: {k: v for k, v in r.items() if k != "seconds"} for r in found}


def listening(pids: Collection[int]) -> dict[str, int]:
    """The addresses that some processes listen at, as the kernel writes them, with their owners."""
    owners = {}
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                owners[os.readlink(file)] = pid
            except OSError:
                continue
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            socket = f"socket:[{words[9]}]"
            if words[3] == "0A" and socket in owners:
                found[words[1]] = owners[socket]
    return found


def test_a_ray_started_here_is_for_this_machine_alone():
    names = descendants(os.getpid())
    found = listening([os.getpid(), *names])
    assert len(found) > 2  # or nothing was looked at
    loopback = ("0100007F:", "0000000000000000FFFF00000100007F:", f"{1 << 24:032X}:")
    assert all(address.startswith(loopback) for address in found), found
    assert not any("dashboard.py" in names.get(pid, "") for pid in found.values())
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_the_files_are_those_of_the_plain_engine(tmp_path, capsys):
    for number in range(5):
        draw(tmp_path / "in" / f"{number}.png", number)
    (tmp_path / "in" / "no.jpg").write_text("no image")
    (tmp_path / "list.txt").write_text("in/gone.png\n")
    video(tmp_path / "in" / "v.avi", frames=3)
    words = [str(tmp_path / "in"), str(tmp_path / "list.txt"), "--every", "2", *WORDS]
    plain, ray = tmp_path / "plain", tmp_path / "ray"
    assert main(["predict", *words, "--out", str(plain)]) == 1
    told = sorted(capsys.readouterr().err.splitlines())
    batches = ["--engine", "ray", "--batch-size", "3"]
    assert main(["predict", *words, "--out", str(ray), *batches]) == 1
    assert without_times(records(ray)) == without_times(records(plain))
    assert len(records(ray)) == 5 + 2 + 2
    names = sorted(os.listdir(plain / "images"))
    assert sorted(os.listdir(ray / "images")) == names
    for name in names:
        assert (ray / "images" / name).read_bytes() == (plain / "images" / name).read_bytes()
    assert (ray / "run.json").read_bytes() == (plain / "run.json").read_bytes()
    again = [line.replace(str(ray), str(plain)) for line in capsys.readouterr().err.splitlines()]
    assert sorted(line for line in again if line in told) == told


def test_a_killed_worker_loses_and_repeats_nothing(tmp_path):
    number = 24
    paths = [str(draw(tmp_path / "in" / f"{i:03d}.png", i)) for i in range(number)]
    out = tmp_path / "out"
    options = {"max_new_tokens": 60}
    run = {"model": "tiny"}
    begun = list(predict_files(Predictor("tiny", **options), paths[:3], out, QUESTION, run=run))
    before = (out / "predictions.jsonl").read_text()
    with (out / "predictions.jsonl").open("a") as file:
        file.write('{"source": "half')
    # The plain engine's beginning is kept, and a worker dies in the middle of the rest.
    results = predict_files_on_ray(
        "tiny", "transformers", options, paths, out, QUESTION, run=run, batch_size=1
    )
    assert next(results).name in paths[3:]
    [worker] = [
        pid for pid, name in descendants(os.getpid()).items() if name.startswith("ray::MapWorker")
    ]
    done = len(records(out))
    os.kill(worker, signal.SIGKILL)
    rest = list(results)
    assert (out / "predictions.jsonl").read_text().startswith(before)
    assert len(begun) + 1 + len(rest) == number
    assert done < number // 2  # it died in the middle
    assert sorted(r["source"] for r in records(out)) == paths
    assert len(os.listdir(out / "images")) == number
    assert not any("error" in r for r in records(out))
    assert worker not in descendants(os.getpid())
    # Nothing is left, so no worker is started.
    assert not list(predict_files_on_ray("none", "none", options, paths, out, QUESTION, run=run))


def test_what_goes_wrong_in_a_worker_is_said_as_it_would_be_here(tmp_path):
    paths = [str(draw(tmp_path / "one.png"))]
    with pytest.raises(UserError, match="there is no 'transformer'; did you mean"):
        list(predict_files_on_ray("tiny", "transformer", {}, paths, tmp_path / "out", QUESTION))


def test_the_address_needs_the_engine(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "a.png", "--out", "b", "--ray-address", "auto"])
    assert "--engine ray" in capsys.readouterr().err
