"""The jobs of the command line, `train` and `test`: each reads from top to bottom from a `Run`."""

from __future__ import annotations

import logging
from pathlib import Path

from rexkit.evaluation.distributed import (
    ALONE,
    Processes,
    distributed_processes,
    is_main_process,
)
from rexkit.evaluation.evaluator import evaluate
from rexkit.evaluation.results_folder import METRICS, write_metrics
from rexkit.plugins import call_hook
from rexkit.run import Run
from rexkit.training.curves import plot_curves
from rexkit.training.run_identity import claimed

__all__ = ["test", "train"]

logger = logging.getLogger(__name__)


def train(run: Run, resume: bool = False, overwrite: bool = False) -> dict[str, float]:
    """Train, and test before and after.

    Writes to ``work_dir``: ``config.py`` (resolved), ``log.jsonl``, ``curves.png``, TensorBoard
    files, checkpoints, the last model in ``final``, images and results (see `evaluate`) in
    ``before`` and ``after``, and ``metrics.json``.

    Args:
        run: a run of the job "train".
        resume: continue from the last whole checkpoint in ``work_dir``.
        overwrite: remove what an earlier run left in ``work_dir``.

    Returns:
        The metrics of the test, those of the untrained model under ``before/``.

    Raises:
        UserError: ``work_dir`` is in use, or holds a run that this one would mix with.
        StoppedBySignal: SIGTERM or SIGINT came; a checkpoint is written.
    """
    if not is_main_process():  # the first process holds the work directory
        return _train(run, resume)
    with claimed(run.work_dir, run.config.to_dict(), resume, overwrite):
        return _train(run, resume)


def _train(run: Run, resume: bool) -> dict[str, float]:
    main = is_main_process()
    run.save_config()
    if main:
        (run.work_dir / METRICS).unlink(missing_ok=True)
    metrics: dict[str, float] = {}
    if run.test_before and run.test_data is not None:
        before = _evaluate(run, run.work_dir / "before" if main else None)
        metrics |= {f"before/{name}": value for name, value in before.items()}
    run.trainer.fit(resume)
    if main:
        plot_curves(run.work_dir / "log.jsonl", run.work_dir / "curves.png")
    for line in run.train_data.reports if run.train_data is not None else ():
        logger.warning("%s", line)
    if run.test_data is not None:
        after = _evaluate(run, run.work_dir / "after" if main else None)
        metrics = after | metrics
        if main:
            write_metrics(metrics, run.work_dir)
            call_hook("rexkit_results", metrics=metrics, work_dir=run.work_dir)
    return metrics


def test(run: Run, show_dir: Path | None = None) -> dict[str, float]:
    """Test a model.

    Writes results (see `evaluate`), images and ``config.py`` (resolved) to ``work_dir``. Started
    by torchrun, the processes share the examples and the metrics are those of one process; where
    responses are sampled they differ, since the draws depend on the batches.

    Args:
        run: a run of the job "test".
        show_dir: where every image is drawn, prediction beside ground truth; if left out,
            ``num_images`` of them in ``work_dir/images``.

    Returns:
        The metrics.
    """
    run.save_config()
    with distributed_processes() as processes:
        metrics = _evaluate(run, run.work_dir, show_dir, processes)
    if is_main_process():
        call_hook("rexkit_results", metrics=metrics, work_dir=run.work_dir)
    return metrics


def _evaluate(
    run: Run,
    out_dir: Path | None,
    show_dir: Path | None = None,
    processes: Processes = ALONE,
) -> dict[str, float]:
    assert run.backend is not None
    assert run.test_data is not None
    return evaluate(
        run.backend,
        run.test_data,
        metrics=run.metrics,
        out_dir=out_dir,
        visualizer=run.visualizer,
        num_images=len(run.test_data) if show_dir else run.num_images,
        show_dir=show_dir,
        processes=processes,
    )
