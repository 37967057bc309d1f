"""Compare rexkit with the public Rex-Omni code, run beside it, and print where they differ.

    python -m benchmarks.fidelity --public CHECKOUT [--coco FILE…] [--jsonl FILE…] [--write FILE]

CHECKOUT is a copy of https://github.com/IDEA-Research/Rex-Omni; qwen-vl-utils must be installed.
No weights are needed: both sides get the same responses. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.fidelity.evaluation import Figure, evaluation_figures, real_figures
from benchmarks.fidelity.inference import inference_rows
from benchmarks.fidelity.rewards import NUM_CASES, NUM_CUT, reward_figures
from benchmarks.fidelity.training import training_rows

CLOSE = 1e-9
"""Figures that differ by no more are the same."""

PAGE = """# Fidelity

rexkit beside the public Rex-Omni code, on the same images, questions and responses:
`{command}` writes this page. "Same" means equal, or for figures and rewards within 1e-9.

{table}

What is compared, and how, is in the docstrings of `benchmarks/fidelity`; tests hold each number
without the public code.
"""


class Line(NamedTuple):
    """A row of the table."""

    part: str
    what: str
    cases: int
    result: str
    why: str = ""


def compare(
    public: Path, coco_files: Sequence[Path] = (), jsonl_files: Sequence[Path] = ()
) -> list[Line]:
    """Return the lines of the table.

    Args:
        public: a checkout of the public repository.
        coco_files: COCO JSON files, of which evaluation figures and training samples are compared
            too.
        jsonl_files: JSONL files, of which training samples are compared too.
    """
    lines = [
        Line("inference", what, cases, _result(different, cases), note)
        for what, cases, different, note in inference_rows(public)
    ]
    lines += [
        Line("training", what, cases, _result(different, cases), note)
        for what, cases, different, note in training_rows(public, coco_files, jsonl_files)
    ]
    for name, ours, theirs, note in reward_figures(public):
        cases = NUM_CUT if "cut" in name else NUM_CASES
        lines.append(Line("rewards", name, cases, _close(ours, theirs), note))
    lines += _evaluation("drawn set", evaluation_figures(public))
    for file in coco_files:
        lines += _evaluation(file.stem, real_figures(public, file))
    return lines


def _evaluation(title: str, figures: Iterable[Figure]) -> list[Line]:
    """Return a line for each kind of question."""
    kinds: dict[str, list[Figure]] = {}
    for figure in figures:
        kinds.setdefault(figure[0].partition(": ")[0], []).append(figure)
    lines = []
    for kind, found in kinds.items():
        apart = [figure for figure in found if not abs(figure[1] - figure[2]) <= CLOSE]
        result = _result(len(apart), len(found))
        why = ", ".join(f"{n.partition(': ')[2]} {o:.6g} / {t:.6g}" for n, o, t in apart)
        lines.append(Line(f"evaluation, {title}", kind, len(found), result, why))
    return lines


def _result(different: int, cases: int) -> str:
    return f"{different} of {cases} differ" if different else "same"


def _close(ours: float, theirs: float) -> str:
    return "same" if abs(ours - theirs) <= CLOSE else f"{ours:.6g}, public {theirs:.6g}"


def _table(lines: Iterable[Line]) -> str:
    rows = ["| part | compared | cases | result | note |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*rows, *(f"| {' | '.join(map(str, line))} |" for line in lines)])


def main() -> None:
    """Print the table, and write the page if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("--public", type=Path, required=True, help="a checkout of Rex-Omni")
    parser.add_argument(
        "--coco", type=Path, nargs="*", default=[], help="COCO files to compare too"
    )
    parser.add_argument("--jsonl", type=Path, nargs="*", default=[], help="JSONL files, likewise")
    parser.add_argument("--write", type=Path, help="the page to write, docs/fidelity.md")
    args = parser.parse_args()
    lines = compare(args.public, args.coco, args.jsonl)
    table = _table(lines)
    print(table)
    if args.write is not None:
        command = (
            "python -m benchmarks.fidelity --public CHECKOUT --coco FILE --jsonl FILE --write FILE"
        )
        args.write.write_text(PAGE.format(command=command, table=table), "utf-8")
    same = sum(line.result == "same" for line in lines)
    print(json.dumps({"lines": len(lines), "same": same}))


if __name__ == "__main__":
    main()
