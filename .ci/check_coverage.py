"""Fail if a file of rexkit/ is tested too little.

``python .ci/check_coverage.py REPORT.json`` takes the report that ``coverage json`` writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

LOWEST = 85.0
"""Per cent of the statements of each file."""

EXEMPT = {
    "rexkit/inference/ray_prediction.py": "Ray ends its workers before they write coverage data; "
    "test_ray_predict.py compares what they predict with the plain engine's files",
}
"""Files that may be below it, each with the reason."""


def main(report: str) -> int:
    """Print the total and each file below the limit; return 1 if there is one."""
    found = json.loads(Path(report).read_text("utf-8"))
    print(f"coverage of rexkit/: {found['totals']['percent_covered']:.1f} %")
    low = {
        name: round(file["summary"]["percent_covered"], 1)
        for name, file in sorted(found["files"].items())
        if file["summary"]["percent_covered"] < LOWEST and name not in EXEMPT
    }
    for name, per_cent in low.items():
        lines = ", ".join(map(str, found["files"][name]["missing_lines"]))
        print(f"{name}: {per_cent} % is below {LOWEST} %; no test runs lines {lines}")
    if low:
        print("Test these lines, or exempt the file with a reason in .ci/check_coverage.py.")
    return 1 if low else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
