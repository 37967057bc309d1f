"""The curves of a training run as one picture."""

from __future__ import annotations

import json
from pathlib import Path


def plot_curves(log: Path, picture: Path) -> None:
    """Draw loss, learning rate and every validation figure of a ``log.jsonl`` over steps."""
    from matplotlib.figure import Figure

    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name in ("loss", "learning_rate", "grad_norm") or name.startswith("eval_"):
                curves.setdefault(name, []).append((row["step"], value))
    speeds = ("eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
    panels = [
        [n for n in curves if n in ("loss", "eval_loss")],
        [n for n in curves if n in ("learning_rate",)],
        [n for n in curves if n.startswith("eval_") and n not in (*speeds, "eval_loss")],
    ]
    panels = [names for names in panels if names]
    if not panels:
        return
    figure = Figure(figsize=(6 * len(panels), 4), layout="constrained")
    for axes, names in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in names:
            steps, values = zip(*curves[name], strict=True)
            axes.plot(steps, values, marker="." if len(steps) < 40 else None, label=name)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(picture, dpi=110)
