"""`Run`: everything that a config names, built and checked before anything starts."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from mmengine.config import Config
from transformers import set_seed

from rexkit.backends import Backend, model_source
from rexkit.component_arguments import accepted_arguments
from rexkit.config import require, values_named
from rexkit.config_files import write_plain
from rexkit.errors import ConfigError, ErrorCollector
from rexkit.evaluation.distributed import is_main_process, use_own_accelerator
from rexkit.evaluation.evaluator import evaluate
from rexkit.examples import ExampleDataset, build_examples
from rexkit.models import VLM, PretrainedVLM
from rexkit.plugins import call_hook
from rexkit.registry import (
    BACKENDS,
    MODELS,
    TRAINERS,
    VISUALIZERS,
)
from rexkit.source_check import CheckedSource, MetricConfigs, check_source
from rexkit.whole_files import write_whole

__all__ = ["Run"]

logger = logging.getLogger(__name__)

Job = Literal["train", "test"]

_REPLACED = {"path", "adapter", "lora"}
"""Arguments of a model that say which weights it has; a checkpoint has its own."""


@dataclass
class Run:
    """One run of `train` or `test`: everything that a config names, built and checked.

    Attributes:
        config: the complete config, which is saved with the results.
        job: "train" or "test".
        work_dir: where everything is written.
        sources: every source of the data below, each with an example.
        visualizer: of VISUALIZERS, draws test images and completions.
        metrics: configs of METRICS; None for those of the tasks.
        num_images: how many test images are drawn.
        test_data: examples to test on.
        val_data: examples to evaluate on during training.
        train_data: examples to train on.
        vlm: the model; None where the backend has its own.
        backend: of BACKENDS, generates responses in tests; None where nothing is tested.
        trainer: of TRAINERS; None for the job "test".
        test_before: whether to test before training too.
    """

    config: Config
    job: Job
    work_dir: Path
    sources: list[CheckedSource]
    visualizer: Any
    metrics: MetricConfigs = None
    num_images: int = 16
    test_data: ExampleDataset | None = None
    val_data: ExampleDataset | None = None
    train_data: ExampleDataset | None = None
    vlm: VLM | None = field(default=None, repr=False)
    backend: Backend | None = None
    trainer: Any = None
    test_before: bool = False

    @classmethod
    def from_config(
        cls,
        config: Config,
        job: Job,
        checkpoint: str | None = None,
        work_dir: str | Path | None = None,
    ) -> Run:
        """Build and check everything that a config names, before anything starts.

        One example of every source is made, its response is parsed, and in test data the metrics
        score it. The constructor of the trainer runs, without training.

        Args:
            config: as `rexkit.config.load_config` returns it.
            job: "train" or "test".
            checkpoint: for a test, a folder or hub id, as `PretrainedVLM` takes it; if left out,
                the config's model. A backend that loads its own model or uses a server gets it as
                ``model``.
            work_dir: where everything is written; if left out, ``work_dir`` of the config.

        Returns:
            The run, ready for `train` or `test`.

        Raises:
            ConfigError: whatever cannot be used, each error with its config key; several are
                reported together.
            DataError: the only error is a sample that cannot be used.
        """
        call_hook("rexkit_config", config=config)
        if job == "test":
            use_own_accelerator()
        if type(config.seed) is not int or not 0 <= config.seed < 2**32:
            raise ConfigError(f"seed: must be a whole number below 2**32, got {config.seed!r}")
        if not isinstance(config.work_dir, (str, Path)):
            raise ConfigError(f"work_dir: must be a path, got {config.work_dir!r}")
        builder = _Builder(config, job, checkpoint, Path(work_dir or config.work_dir))
        with values_named():
            run = builder.build()
        builder.errors.raise_all()
        return run

    @property
    def steps(self) -> int | None:
        """The number of optimizer steps of a training; None if the trainer does not define it."""
        args = getattr(self.trainer, "args", None)
        if args is None:
            return None
        if args.max_steps > 0:
            return int(args.max_steps)
        batches = len(self.trainer.get_train_dataloader())
        per_epoch = max(1, math.ceil(batches / args.gradient_accumulation_steps))
        steps: int = math.ceil(args.num_train_epochs * per_epoch)
        return steps

    def save_config(self) -> None:
        """Write ``config.py`` and ``config.json`` to the work dir, in the first process only."""
        if is_main_process():
            self.work_dir.mkdir(parents=True, exist_ok=True)
            write_whole(self.work_dir / "config.py", self.config.pretty_text)
            write_plain(self.config.to_dict(), self.work_dir / "config.json")


@dataclass
class _Builder:
    """Builds the parts of a run in order of their cost, and collects the errors of all."""

    config: Config
    job: Job
    checkpoint: str | None
    work_dir: Path
    errors: ErrorCollector = field(default_factory=ErrorCollector)
    sources: list[CheckedSource] = field(default_factory=list)

    def build(self) -> Run:
        """Build everything; the run is complete if no errors were collected."""
        config, training = self.config, self.job == "train"
        train_data = self._data("train_data", required=True) if training else None
        val_data = self._data("val_data") if training else None
        test_data = self._data("test_data", required=not training)
        visualizer = self._visualizer()
        set_seed(config.seed)
        vlm = self._model()
        backend = None
        if val_data is not None or test_data is not None:
            backend = self._backend(vlm)
        run = Run(
            config=config,
            job=self.job,
            work_dir=self.work_dir,
            sources=self.sources,
            visualizer=visualizer,
            metrics=config.get("metrics"),
            num_images=config.get("num_images", 16),
            test_data=test_data,
            val_data=val_data,
            train_data=train_data,
            vlm=vlm,
            backend=backend,
            test_before=bool(config.get("test_before")),
        )
        if val_data is not None and (limit := getattr(backend, "check", None)):
            val_data.limits.append(limit)
        if training:
            run.trainer = self._trainer(run)
        self._skip_unusable(run)
        return run

    def _skip_unusable(self, run: Run) -> None:
        """Find the rows that cannot be used, unless there are errors already: it takes long."""
        if self.errors.errors:
            return
        limit = getattr(run.backend, "check", None)
        for examples in (run.train_data, run.val_data, run.test_data):
            if examples is not None:
                limits = [limit] if limit and examples is run.test_data else []
                with self.errors.collect():
                    examples.skip_unusable(*limits)

    def _data(self, key: str, required: bool = False) -> ExampleDataset | None:
        config, training = self.config, key == "train_data"
        if not required and not config.get(key):
            return None
        with self.errors.collect():
            examples = build_examples(
                require(config, key),
                key,
                config.seed,
                training,
                config.get("parser"),
                scan=False,
            )
            metrics = config.get("metrics") if key == "test_data" else ()
            for number in range(len(examples.sources)):
                source_key = f"{key}.{number}" if len(examples.sources) > 1 else key
                if examples.mixture is not None:
                    source_key = examples.sources[number].key
                with self.errors.collect():
                    self.sources.append(check_source(examples, number, source_key, metrics))
            return examples
        return None

    def _visualizer(self) -> Any:
        with self.errors.collect():
            cfg = self.config.get("visualizer") or {"type": "PillowVisualizer"}
            return VISUALIZERS.build(cfg, key="visualizer")

    def _backend_config(self) -> dict[str, Any]:
        return self.config.get("backend") or {"type": "TransformersBackend"}

    def _model_source(self) -> str | None:
        with self.errors.collect():
            cfg = self._backend_config()
            return model_source(BACKENDS.component(cfg, "backend"), "backend")
        return None

    def _model(self) -> VLM | None:
        config = self.config
        if self.job == "test" and self._model_source() != "given":
            return None
        with self.errors.collect():
            vlm: VLM
            if self.checkpoint is None:
                vlm = MODELS.build(require(config, "model"), key="model")
            else:
                vlm = self._load_checkpoint(self.checkpoint)
            if self.job == "test":
                device = torch.accelerator.current_accelerator(check_available=True)
                if device is not None:
                    torch.nn.Module.to(vlm.model, device)
            return vlm
        return None

    def _load_checkpoint(self, checkpoint: str) -> VLM:
        """Load a checkpoint in place of the config's model, with the settings of that model."""
        settings = dict(self.config.get("model", {}))
        settings.pop("type", None)
        accepted = (accepted_arguments(PretrainedVLM) or set()) - _REPLACED
        kept = {name: value for name, value in settings.items() if name in accepted}
        replaced = sorted(settings.keys() - kept.keys())
        if replaced:
            logger.info(
                "%s is tested in place of the config's model, without its %s",
                checkpoint,
                ", ".join(f"model.{name}" for name in replaced),
            )
        return PretrainedVLM(checkpoint, **kept)

    def _backend(self, vlm: VLM | None) -> Backend | None:
        cfg, source = self._backend_config(), self._model_source()
        with self.errors.collect():
            backend: Backend
            if source == "given" and vlm is not None:
                backend = BACKENDS.build(cfg, key="backend", vlm=vlm)
                return backend
            if source == "given" or source is None:  # the model's error is collected already
                return None
            if self.job == "train":
                raise ConfigError(
                    f"backend.type: {cfg['type']} does not generate with the model that is trained "
                    "here; train with TransformersBackend, and test with the other afterwards"
                )
            named = {} if self.checkpoint is None else {"model": self.checkpoint}
            backend = BACKENDS.build({**cfg, **named}, key="backend")
            return backend
        return None

    def _trainer(self, run: Run) -> Any:
        """Build the trainer; without a model or training data it cannot be checked."""
        with self.errors.collect():
            cfg = require(self.config, "trainer")
            if run.vlm is None or run.train_data is None:
                return None
            backend, val_data = run.backend, run.val_data
            score = None
            if backend is not None and val_data is not None:
                score = partial(evaluate, backend, val_data)
            given: dict[str, Any] = {
                "vlm": run.vlm,
                "train_data": run.train_data,
                "val_data": val_data,
                "score": score,
                "work_dir": self.work_dir,
                "seed": self.config.seed,
                "callbacks": [
                    callback
                    for found in call_hook("rexkit_callbacks", config=self.config)
                    for callback in found
                ],
            }
            accepted = accepted_arguments(TRAINERS.component(cfg, "trainer"))
            if accepted is not None and "visualizer" in accepted:  # of trainers that draw
                given["visualizer"] = run.visualizer
            return TRAINERS.build(cfg, key="trainer", **given)
        return None
