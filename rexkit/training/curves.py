"""The curves of a training run as one image."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

# Logged by validation, but not metrics of predictions.
_NOT_METRICS = ("runtime", "samples_per_second", "steps_per_second")
_OF_ROLLOUTS = ("completions/", "rewards/", "problems/", "clip_ratio/", "reward", "frac_reward")

_PANELS: list[Callable[[str], bool]] = [
    lambda name: name == "reward" or (name.startswith("rewards/") and name.endswith("/mean")),
    lambda name: name in ("entropy", "frac_reward_zero_std", "kl"),
    lambda name: name in ("loss", "eval_loss"),
    lambda name: name == "learning_rate",
    lambda name: name.startswith("eval_") and _is_metric(name.removeprefix("eval_")),
]


def plot_curves(log: Path, image: Path) -> None:
    """Plot the values of a ``log.jsonl`` over training steps.

    Rewards, entropy, loss, learning rate and validation metrics have a panel each, if the log has
    them. A curve of many steps is drawn faintly, with its running mean over it.
    """
    from matplotlib.figure import Figure

    curves: dict[str, list[tuple[float, float]]] = {}
    for line in log.read_text("utf-8").splitlines():
        row = json.loads(line)
        for name, value in row.items():
            if isinstance(value, (int, float)):
                curves.setdefault(name, []).append((row["step"], value))
    if "reward" in curves:
        del curves["rewards/total/mean"]  # TRL's name for "reward"
        curves.pop("loss", None)  # the loss of GRPO is always about 0
    panels = [[name for name in curves if belongs(name)] for belongs in _PANELS]
    panels = [names for names in panels if names]
    if not panels:
        return
    figure = Figure(figsize=(6 * len(panels), 4), layout="constrained")
    for axes, names in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name in names:
            steps, values = (np.array(column) for column in zip(*curves[name], strict=True))
            if len(steps) < 40 or name == "learning_rate":
                axes.plot(steps, values, marker="." if len(steps) < 40 else None, label=name)
                continue
            (line,) = axes.plot(*_running_mean(steps, values), label=name)
            axes.plot(steps, values, color=line.get_color(), alpha=0.25, linewidth=0.8)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(image, dpi=110)


def _is_metric(name: str) -> bool:
    return name not in ("loss", *_NOT_METRICS) and not name.startswith(_OF_ROLLOUTS)


def _running_mean(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means over a tenth of the curve, at the middle of each window."""
    width = len(values) // 10
    weights = np.full(width, 1 / width)
    return np.convolve(steps, weights, "valid"), np.convolve(values, weights, "valid")
