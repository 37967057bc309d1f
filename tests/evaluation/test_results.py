"""Results: their folders and tables, several runs side by side, the analysis and its page."""

from __future__ import annotations

import base64
import csv
import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rexkit.cli import main
from rexkit.errors import UserError
from rexkit.evaluation import analyse, compare, find_results, name_results, write_page, write_tables
from rexkit.evaluation.results_folder import DatasetResults, write_metrics
from rexkit.evaluation.samples_page import MOST_TEXT, marked_text
from rexkit.formats.phrase_geometries import decode_annotation, encode_annotation
from rexkit.formats.predictions import read_predictions
from rexkit.structures import Annotation, Instance, Problem
from rexkit.tasks import GroundingTask, PhraseTask, PointingTask, Task

NASTY = '<script>alert("x")</script>'


def record(index: int, text: str, gt: dict, predicted: dict, **more) -> dict:
    return {
        "image_path": None,
        "task_name": "detection",
        "question": f"Detect {', '.join(gt)}.",
        "categories": list(gt),
        "raw_response": text,
        "extracted_predictions": predicted,
        "gt": gt,
        "index": index,
        "source": f"made up[{index}]",
        "image_size": [100, 100],
        "problems": [],
        "num_output_tokens": 7,
        "truncated": False,
        **more,
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Results of two data sets: a perfect sample, a bad one and one that is worse."""
    folder = tmp_path / "run"
    with DatasetResults(folder / "box_eval" / "COCO") as results:
        results.add(record(0, "fine", {"cup": [[1, 2, 30, 40]]}, {"cup": [[1, 2, 30, 40]]}))
        results.add(record(1, "bad", {"cup": [[1, 2, 30, 40]]}, {"cup": []}))
    problems = [{"kind": "junk", "offset": 3, "detail": "<b>bold</b> junk"}]
    text = f"ab {NASTY}"
    with DatasetResults(folder / "point_eval" / "Shapes") as results:
        worst = record(2, text, {"cup": [[5, 5]], "dog": []}, {"dog": [[9, 9], [80, 80]]})
        results.add({**worst, "problems": problems, "truncated": True})
    for place, f1 in (("box_eval/COCO", 0.5), ("point_eval/Shapes", 0.25)):
        write_metrics({"f1@0.5": f1, "absent": 3.0}, folder / place)
    return folder


def test_folders_are_those_of_the_public_evaluation():
    class Named(PhraseTask):
        name = "polite"

    class Inheriting(GroundingTask):
        pass

    assert (GroundingTask.results_dir, PointingTask.results_dir) == ("box_eval", "point_eval")
    assert (Named.results_dir, Inheriting.results_dir) == ("polite_eval", "box_eval")
    assert not hasattr(Task, "results_dir")
    many = [("a", "X"), ("a", "X_2"), ("a", "X"), ("a", "X"), ("b", "X")]
    assert name_results(many) == [("a", "X"), ("a", "X_2"), ("a", "X_3"), ("a", "X_4"), ("b", "X")]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["X", "X_2", "X_3"]))))
def test_no_two_sources_share_a_folder(named):
    places = name_results(named)
    assert len(set(places)) == len(named)
    assert [task for task, _ in places] == [task for task, _ in named]


def test_items_come_back():
    rle = {"size": [2, 3], "counts": "24"}
    word = Instance("word", bbox=np.array([1.0, 2, 3, 4]), text="EXIT", ignore=True)
    person = Instance("person", bbox=np.array([1.0, 2, 3, 4]), name="person1")
    person.keypoints = {"nose": np.array([1.0, 2]), "left ear": None}
    shapes = [
        Instance("a", bbox=np.array([1.0, 2, 3, 4])),
        Instance("a", point=np.array([1.0, 2])),
        Instance("b", polygon=np.array([[0.0, 0], [9, 0], [9, 9]])),
        Instance("b", mask=rle),
    ]
    items = encode_annotation(Annotation((99, 99), [*shapes, word, person], ["no"]))
    assert items["a"] == [[1, 2, 3, 4], [1, 2]]
    assert items["b"] == [[0, 0, 9, 0, 9, 9], rle]
    assert items["word"] == [{"bbox": [1, 2, 3, 4], "text": "EXIT", "ignore": True}]
    assert items["person"][0]["keypoints"] == {"nose": [1, 2]}
    assert items["person"][0]["phrase"] == "person1"
    back = decode_annotation(json.loads(json.dumps(items)), (99, 99))
    assert back.absent == ["no"]
    assert encode_annotation(back) == items
    everything = encode_annotation(Annotation((99, 99), [person]), None)["person"]
    assert everything[0]["keypoints"] == {"nose": [1, 2], "left ear": "unvisible"}
    (back,) = decode_annotation({"person": everything}, (99, 99)).instances
    assert back.keypoints["left ear"] is None


def test_a_point_is_compared_with_the_most_exact_region():
    instance = Instance("a", bbox=np.array([1.0, 2, 3, 4]), point=np.array([1.0, 2]))
    assert encode_annotation(Annotation((9, 9), [instance]), "point") == {"a": [[1, 2, 3, 4]]}
    instance.polygon = np.array([[0.0, 0], [9, 0], [9, 9]])
    assert encode_annotation(Annotation((9, 9), [instance]), "point") == {"a": [[0, 0, 9, 0, 9, 9]]}
    assert encode_annotation(Annotation((9, 9), [instance]), "bbox") == {"a": [[1, 2, 3, 4]]}


def test_tables_over_everything_found(run):
    write_tables(run)
    text = (run / "results.md").read_text()
    assert "## box_eval\n\n| metric | COCO |\n| --- | ---: |\n| f1@0.5 | 0.5000 |" in text
    rows = list(csv.reader((run / "results.csv").open()))
    assert rows[0] == ["task", "dataset", "metric", "value"]
    assert ["point_eval", "Shapes", "f1@0.5", "0.25"] in rows
    assert len(rows) == 1 + 4


def test_runs_are_laid_side_by_side(run, tmp_path, capsys):
    other = tmp_path / "other" / "after"  # a training's work directory
    write_metrics({"f1@0.5": 0.75, "absent": 9.0, "count_error": 2.5}, other / "box_eval" / "COCO")
    write_metrics({"count_error": 3.5}, run / "point_eval" / "COCO")
    write_metrics({"count_error": 2.5}, other / "point_eval" / "COCO")
    found = compare([run, tmp_path / "other"])
    rows = {(r.task, r.dataset, r.metric): r for r in found.rows}
    assert found.names == ["run", "other"]
    assert rows["box_eval", "COCO", "f1@0.5"].values == [0.5, 0.75]
    assert rows["box_eval", "COCO", "f1@0.5"].best == [False, True]
    assert rows["box_eval", "COCO", "f1@0.5"].cells() == ["0.5000", "0.7500 (+0.2500)"]
    assert rows["box_eval", "COCO", "absent"].best == [False, False]
    assert rows["point_eval", "COCO", "count_error"].best == [False, True]
    assert rows["point_eval", "Shapes", "f1@0.5"].values == [0.25, None]

    words = [str(run), str(tmp_path / "other")]
    files = ["--markdown", str(tmp_path / "t.md"), "--csv", str(tmp_path / "t.csv")]
    assert main(["compare", *words, *files]) == 0
    assert "* 0.7500 (+0.2500)" in capsys.readouterr().out
    assert (
        "| box_eval | COCO | f1@0.5 | 0.5000 | **0.7500 (+0.2500)** |"
        in (tmp_path / "t.md").read_text()
    )
    assert ["box_eval", "COCO", "f1@0.5", "0.5", "0.75"] in list(
        csv.reader((tmp_path / "t.csv").open())
    )


def test_a_folder_without_results_is_named(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match=r"metrics\.json"):
        find_results(tmp_path)
    assert main(["compare", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert main(["analyse", str(tmp_path)]) == 2


def test_analysis_counts_and_keeps_the_worst_first(run):
    found = analyse(run, worst=1)
    assert found.samples == {("box_eval", "COCO"): 2, ("point_eval", "Shapes"): 1}
    assert found.faultless[("box_eval", "COCO")] == 1
    assert found.counts["box_eval", "COCO"] == {"missed": 1}
    assert found.counts["point_eval", "Shapes"] == {
        **{"unparseable": 1, "truncated": 1, "not_answered": 1, "hallucinated": 2, "missed": 1}
    }
    assert [case.record.index for case in found.worst] == [2]
    header, rows = found.table()
    assert header == ["fault", "box_eval/COCO", "point_eval/Shapes", "meaning"]
    assert ["hallucinated", "0", "2"] in [row[:3] for row in rows]


def test_a_line_that_is_no_record_is_named_and_a_cut_one_left_out(run, caplog):
    file = run / "box_eval" / "COCO" / "predictions.jsonl"
    whole = file.read_text()
    file.write_text(whole + '{"index": 3, "sou')  # the test was killed
    assert [r.index for r in read_predictions(file)] == [0, 1]
    assert f"{file}:3" in caplog.text
    file.write_text(whole + '{"index": 3}\n')
    with pytest.raises(UserError, match=re.escape(f"{file}:3")):
        list(read_predictions(file))


class Page(HTMLParser):
    """Checks that tags are closed in order, and keeps what matters."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_no_other_file_and_escapes_what_models_write(run, tmp_path):
    def draw(case):
        return "it is <gone>" if case.record.index == 1 else Image.new("RGB", (30, 20), "red")

    write_page(tmp_path / "a" / "page.html", "Faults & <more>", analyse(run), draw)
    page = Page((tmp_path / "a" / "page.html").read_text())
    assert "script" not in [tag for tag, _ in page.tags]
    assert NASTY in page.text
    assert "No image: it is <gone>" in page.text
    sources = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert len(sources) == 1
    head, _, data = sources[0].partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(BytesIO(base64.b64decode(data))).size == (30, 20)
    assert not any({"href", "srcset"} & attrs.keys() for _, attrs in page.tags)
    assert ("mark", {"title": "<b>bold</b> junk"}) in page.tags
    assert "cut off here" in page.text
    assert page.text.index("made up[2]") < page.text.index("made up[1]")


@settings(deadline=None)
@given(
    st.text(max_size=60),
    st.lists(st.builds(Problem, st.just("junk"), st.integers(0, 70), st.text(max_size=5))),
)
def test_marking_loses_no_character(text, problems):
    shown = Page(marked_text(text, problems)).text
    # A page turns every kind of line break into one, and has a sign where the text has ended.
    assert shown.replace("⌁", "") == text.replace("⌁", "")


def test_a_runaway_text_is_cut():
    text = "word " * 5000
    shown = marked_text(text, [Problem("junk", 20_000, "too late")])
    assert f"{len(text) - MOST_TEXT} more characters" in shown
    assert len(shown) < MOST_TEXT + 100
