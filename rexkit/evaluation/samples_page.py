"""An analysis as one self-contained HTML page."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image

from rexkit.evaluation.analysis import Analysis, Case
from rexkit.evaluation.faults import FAULT_KINDS, Fault
from rexkit.structures import Problem
from rexkit.whole_files import write_whole

Draw = Callable[[Case], "Image.Image | str"]
"""Draws a case, or returns a text that says why it cannot."""

MOST_TEXT = 4000
"""How many characters of a response are shown; an endless repetition has many more."""

# What a problem's offset points at: a token, or a word.
_TOKEN = re.compile(r"<[^<>\s]{1,40}>|[^<\s]+|.", re.DOTALL)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
  color: #1e1e1e; background: #fafafa; }
table { border-collapse: collapse; }
th, td { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left; }
section { background: #fff; border: 1px solid #ddd; border-radius: 6px; margin: 1.5rem 0;
  padding: 0 1rem 1rem; }
img { max-width: 100%; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f4f4; padding: .6rem; }
mark { background: #ffd54d; }
mark.end { background: #e5484d; color: #fff; }
.kind { font-weight: 600; } .grey { color: #6b6b6b; }
"""


def write_page(path: Path, title: str, analysis: Analysis, draw: Draw) -> None:
    """Write a page with the counts and, worst first, each sample with image, text and faults.

    Args:
        path: of the HTML file.
        title: of the page.
        analysis: what is shown.
        draw: draws a case, or returns a text that says why it cannot.
    """
    sections = [_section(n, case, draw(case)) for n, case in enumerate(analysis.worst, start=1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(
        path,
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{_table(analysis)}\n"
        f"<h2>The {len(sections)} worst samples</h2>\n{''.join(sections)}</body>\n</html>\n",
    )


def marked_text(text: str, problems: list[Problem], truncated: bool = False) -> str:
    """Return the text of a response as HTML, its problems marked where they are.

    The token or word at a problem's offset is marked, with the problem as its tooltip.

    Args:
        text: what the model wrote.
        problems: of that text.
        truncated: whether it was cut off at the token limit.

    >>> marked_text("a<9999>", [Problem("out_of_range", 1, "no such bin")])
    'a<mark title="no such bin">&lt;9999&gt;</mark>'
    """
    at: dict[int, list[str]] = {}
    for problem in problems:
        at.setdefault(min(max(problem.offset, 0), len(text)), []).append(problem.detail)
    parts, done = [], 0
    for offset, details in sorted(at.items()):
        if offset > MOST_TEXT or offset < done:
            continue
        token = _TOKEN.match(text, offset)
        end = token.end() if token else offset
        marked = escape(text[offset:end]) or "⌁"
        parts.append(escape(text[done:offset]))
        parts.append(f'<mark title="{escape("; ".join(details))}">{marked}</mark>')
        done = end
    parts.append(escape(text[done : max(done, MOST_TEXT)]))
    left = len(text) - max(done, MOST_TEXT)
    if left > 0:
        parts.append(f'<span class="grey"> … {left} more characters</span>')
    if truncated:
        parts.append('<mark class="end" title="the token limit">cut off here</mark>')
    return "".join(parts)


def _table(analysis: Analysis) -> str:
    header, rows = analysis.table()
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"


def _section(number: int, case: Case, image: Image.Image | str) -> str:
    record, prediction = case.record, case.record.prediction
    assert prediction is not None  # only predictions have faults
    if isinstance(image, str):
        shown = f'<p class="grey">No image: {escape(image)}</p>'
    else:
        shown = f'<img alt="ground truth and prediction" src="{_data_uri(image)}">'
    kinds = Counter(fault.kind for fault in case.faults)
    summary = ", ".join(f"{kinds[kind]} {kind}" for kind in FAULT_KINDS if kinds[kind])
    text = marked_text(prediction.text, list(prediction.problems), record.truncated)
    tokens = f", {record.num_output_tokens} tokens" if record.num_output_tokens is not None else ""
    title = f"{'/'.join(case.result_name)}: {record.source}"
    return (
        f"<section>\n<h3>{number}. {escape(title)}</h3>\n"
        f"<p>{escape(summary)}</p>\n{shown}\n"
        f"<p><b>Prompt</b> {escape(record.prompt)}</p>\n"
        f"<p><b>Response</b>{tokens}</p>\n<pre>{text}</pre>\n"
        f"<ul>\n{''.join(_line(fault) for fault in case.faults)}</ul>\n</section>\n"
    )


def _line(fault: Fault) -> str:
    about = " ".join(escape(x) for x in (fault.phrase, fault.detail) if x)
    place = f" at character {fault.offset}" if fault.offset is not None else ""
    meaning = escape(FAULT_KINDS[fault.kind])
    return (
        f'<li><span class="kind" title="{meaning}">{fault.kind}</span>{place}'
        f"{': ' if about else ''}{about}</li>\n"
    )


def _data_uri(image: Image.Image) -> str:
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
