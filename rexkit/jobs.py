"""The jobs of the command line: train a config, test a config. Each reads from top to bottom."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from transformers import set_seed

from rexkit.backends import Backend, model_source
from rexkit.config import require
from rexkit.errors import ConfigError
from rexkit.evaluation.distributed import ALONE, Processes, distributed_processes, is_main_process
from rexkit.evaluation.evaluator import evaluate
from rexkit.evaluation.results_folder import write_metrics
from rexkit.examples import build_examples
from rexkit.models import VLM, PretrainedVLM
from rexkit.plugins import call_hook
from rexkit.registry import BACKENDS, MODELS, TRAINERS, VISUALIZERS
from rexkit.training.curves import plot_curves

__all__ = ["test", "train"]

logger = logging.getLogger(__name__)


def train(config: Config, resume: bool = False) -> dict[str, float]:
    """Train what a config describes, and test it before and after.

    Writes to ``work_dir``: ``config.py`` (resolved), ``log.jsonl``, ``curves.png``, TensorBoard
    files, checkpoints, the last model in ``final``, images and results (see `evaluate`) in
    ``before`` and ``after``, and ``metrics.json``.

    Args:
        config: as `load_config` gives it.
        resume: go on from the last checkpoint in ``work_dir``.

    Returns:
        The figures of the test, those of the untrained model under ``before/``.
    """
    call_hook("rexkit_config", config=config)
    work_dir = Path(config.work_dir)
    main = is_main_process()
    if main:
        work_dir.mkdir(parents=True, exist_ok=True)
        config.dump(str(work_dir / "config.py"))
    set_seed(config.seed)
    vlm: VLM = MODELS.build(require(config, "model"), key="model")
    train_data = build_examples(require(config, "train_data"), "train_data", config.seed, True)
    val_data = None
    if config.get("val_data"):
        val_data = build_examples(config.val_data, "val_data", config.seed, False)
    trainer = TRAINERS.build(
        require(config, "trainer"),
        key="trainer",
        vlm=vlm,
        train_data=train_data,
        val_data=val_data,
        score=None if val_data is None else lambda: evaluate(_backend(config, vlm), val_data),
        work_dir=work_dir,
        seed=config.seed,
        callbacks=[c for found in call_hook("rexkit_callbacks", config=config) for c in found],
    )
    figures: dict[str, float] = {}
    if config.get("test_before") and config.get("test_data"):
        before = _test(config, _backend(config, vlm), work_dir / "before" if main else None)
        figures |= {f"before/{name}": value for name, value in before.items()}
    trainer.fit(resume)
    if main:
        plot_curves(work_dir / "log.jsonl", work_dir / "curves.png")
    for line in train_data.skipped:
        logger.warning("skipped: %s", line)
    if config.get("test_data"):
        after = _test(config, _backend(config, vlm), work_dir / "after" if main else None)
        figures = after | figures
        if main:
            write_metrics(figures, work_dir)
            call_hook("rexkit_results", metrics=figures, work_dir=work_dir)
    return figures


def test(
    config: Config, checkpoint: str | None = None, show_dir: Path | None = None
) -> dict[str, float]:
    """Test a checkpoint on a config's ``test_data``.

    Writes results (see `evaluate`), images and ``config.py`` (resolved) to ``work_dir``. Started
    by torchrun, the processes share the examples and the figures are those of one process; where
    answers are sampled they differ, since the draws depend on what is asked together.

    Args:
        config: as `load_config` gives it.
        checkpoint: a folder or hub id, as `PretrainedVLM` takes it; left out, the config's model.
            A backend that has the model elsewhere, such as `OpenAIBackend`, gets it as ``model``.
        show_dir: where every image is drawn, prediction beside truth; left out,
            ``num_images`` of them in ``work_dir/images``.
    """
    call_hook("rexkit_config", config=config)
    set_seed(config.seed)
    work_dir = Path(config.work_dir)
    if is_main_process():
        work_dir.mkdir(parents=True, exist_ok=True)
        config.dump(str(work_dir / "config.py"))
    with distributed_processes() as processes:
        backend = _load_backend(config, checkpoint)
        figures = _test(config, backend, work_dir, show_dir, processes)
    if is_main_process():
        call_hook("rexkit_results", metrics=figures, work_dir=work_dir)
    return figures


def _load_backend(config: Config, checkpoint: str | None) -> Backend:
    """The config's backend, with a checkpoint or the config's model."""
    if not _takes_vlm(config):  # it has the model elsewhere, by name
        named = {} if checkpoint is None else {"model": checkpoint}
        backend: Backend = BACKENDS.build({**_backend_config(config), **named}, key="backend")
        return backend
    vlm: VLM
    if checkpoint is None:
        vlm = MODELS.build(require(config, "model"), key="model")
    else:
        kept = {k: v for k, v in config.get("model", {}).items() if k in ("system_prompt", "dtype")}
        vlm = PretrainedVLM(checkpoint, **kept)
    if (device := torch.accelerator.current_accelerator(check_available=True)) is not None:
        torch.nn.Module.to(vlm.model, device)
    return _backend(config, vlm)


def _test(
    config: Config,
    backend: Backend,
    out_dir: Path | None,
    show_dir: Path | None = None,
    processes: Processes = ALONE,
) -> dict[str, float]:
    examples = build_examples(require(config, "test_data"), "test_data", config.seed, False)
    return evaluate(
        backend,
        examples,
        metrics=config.get("metrics"),
        out_dir=out_dir,
        visualizer=VISUALIZERS.build(
            config.get("visualizer") or {"type": "PillowVisualizer"}, key="visualizer"
        ),
        num_images=len(examples) if show_dir else config.get("num_images", 16),
        show_dir=show_dir,
        processes=processes,
    )


def _backend(config: Config, vlm: VLM) -> Backend:
    """The config's backend around a model that is there."""
    cfg = _backend_config(config)
    if not _takes_vlm(config):
        raise ConfigError(
            f"backend.type: {cfg['type']} does not answer with the model that is trained here; "
            "train with TransformersBackend, and test with the other afterwards"
        )
    backend: Backend = BACKENDS.build(cfg, key="backend", vlm=vlm)
    return backend


def _takes_vlm(config: Config) -> bool:
    """Whether the config's backend answers with a model that is loaded here."""
    return (
        model_source(BACKENDS.component(_backend_config(config), "backend"), "backend") == "given"
    )


def _backend_config(config: Config) -> dict[str, Any]:
    return config.get("backend") or {"type": "TransformersBackend"}
