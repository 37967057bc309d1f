"""Supervised fine-tuning on the responses of examples."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainingArguments

from rexkit._compat.transformers import TrainerWithSampler
from rexkit.argument_types import check_types
from rexkit.examples import ExampleDataset, Key
from rexkit.grammar.tokens import BOX_START
from rexkit.models.vlm import VLM, Part
from rexkit.packing import (
    AttentionKind,
    LabelPositions,
    default_tree_attention,
    label_positions,
    logits_at_labels,
    model_inputs,
    use_tree_attention,
)
from rexkit.registry import TRAINERS
from rexkit.training.chained_optimizer import ChainedOptimizer, is_inner_matrix
from rexkit.training.collator import Collator
from rexkit.training.loss import ResponseLoss
from rexkit.training.muon import Muon
from rexkit.training.reentrant_checkpointing import require_patch_grads
from rexkit.training.sampler import EpochSampler
from rexkit.training.trainer_mixin import Score, TrainerMixin, default_callbacks


@TRAINERS.register_module()
class SFTTrainer(TrainerMixin, TrainerWithSampler):
    """Fine-tuning on `transformers.Trainer`, which does everything but the loss.

    Accelerate, DeepSpeed, checkpoints and loggers are transformers' own. The loss is on the
    response only, and logits are computed only where there is a label.

    Args:
        vlm: the model.
        train_data: examples to learn from.
        work_dir: where checkpoints, ``log.jsonl`` and TensorBoard files go.
        val_data: examples for the validation loss.
        score: called at each evaluation; its metrics are logged as ``eval_…``.
        seed: of data order and dropout.
        coord_sigma: spread of the coordinate targets, in bins (see `ResponseLoss`); a pair goes
            from the first to the second in the course of training, evenly in the logarithm.
        coord_offset: make up for the spread, so that plain greedy decoding finds what is there.
        presence_weight: weight of the token that determines whether a phrase is in the image.
        mm_projector_lr: learning rate of the projector; left out, ``learning_rate``.
        vision_tower_lr: learning rate of the vision tower; left out, ``learning_rate``.
        muon_lr: trains the matrices inside the network by `Muon` at this rate, and only
            the rest by the optimizer that ``optim`` names; left out, everything by the latter.
        packing: lay the examples of a batch one after another in as few rows as hold them, and
            encode an image once for all its questions. Loss and gradients stay the same.
        max_row_tokens: how many tokens a row holds with ``packing``.
        attention: of packed rows, as in `rexkit.packing.use_tree_attention`: "flex" may pay on
            GPUs; left out, "tree" on CPUs and "dense" elsewhere.
        callbacks: of transformers.
        training_arguments: every field of `transformers.TrainingArguments`, by its own name.

    Raises:
        ConfigError: no row of a dataset with ``on_error="skip"`` can be used.
        DataError: while training, a row of another dataset cannot be used, its image is thinner
            than the model accepts, or it is longer than the model's ``max_length``.
    """

    def __init__(
        self,
        vlm: VLM,
        train_data: ExampleDataset,
        work_dir: str | Path,
        val_data: ExampleDataset | None = None,
        score: Score | None = None,
        seed: int = 0,
        *,
        coord_sigma: float | tuple[float, float] = 0.0,
        coord_offset: bool = False,
        presence_weight: float = 1.0,
        mm_projector_lr: float | None = None,
        vision_tower_lr: float | None = None,
        muon_lr: float | None = None,
        packing: bool = False,
        max_row_tokens: int = 4096,
        attention: AttentionKind | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **training_arguments: Any,
    ):
        if type(max_row_tokens) is not int or max_row_tokens < 1:
            raise ValueError(f"max_row_tokens: must be 1 or more, got {max_row_tokens!r}")
        self.vlm = vlm
        for data in (train_data, val_data):
            if data is not None:
                data.skip_unusable(vlm.encoder.check)
        self.train_data = train_data
        self.score = score
        self.part_rates: dict[Part, float | None] = {
            "projector": mm_projector_lr,
            "vision_tower": vision_tower_lr,
        }
        self.muon_lr = muon_lr
        first, last = coord_sigma if isinstance(coord_sigma, (tuple, list)) else (coord_sigma,) * 2
        box_start = vlm.tokenizer.convert_tokens_to_ids(BOX_START)
        self.response_loss = ResponseLoss(
            vlm.coordinate_ids, first, box_start, presence_weight, coord_offset
        )
        self._positions: LabelPositions | None = None
        self.work_dir = work_dir = Path(work_dir)
        check_types(TrainingArguments, training_arguments, "trainer")
        super().__init__(
            model=vlm.model,
            args=TrainingArguments(
                output_dir=str(work_dir),
                **{
                    "remove_unused_columns": False,
                    "prediction_loss_only": True,
                    "report_to": "none",
                    "seed": seed,
                    "use_cpu": not torch.cuda.is_available(),
                    **training_arguments,
                },
            ),
            data_collator=Collator(vlm.encoder, max_row_tokens if packing else None),
            train_dataset=train_data,
            eval_dataset=val_data,
            processing_class=vlm.processor,
            compute_loss_func=self._loss_of_answers,
            callbacks=[
                *default_callbacks(work_dir),
                *([SigmaSchedule(self.response_loss, first, last)] if first != last else []),
                *(callbacks or []),
            ],
        )
        require_patch_grads(vlm, self.args)
        self.response_loss.to(self.args.device)
        if packing:
            use_tree_attention(vlm.model, attention or default_tree_attention(self.args.device))

    @classmethod
    def extra_arguments(cls) -> set[str]:
        """Return the further config keys: the fields of `transformers.TrainingArguments`."""
        return {field.name for field in fields(TrainingArguments) if field.init} - {"output_dir"}

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Return the loss of a batch, with logits at the labels only."""
        inner = self.vlm.inner
        self._positions = label_positions(inputs)
        if "tree" in inputs:
            inputs = {**model_inputs(inputs, inner), "labels": inputs["labels"]}
        try:
            with logits_at_labels(inner, self._positions):
                return super().compute_loss(model, inputs, *args, **kwargs)
        finally:
            self._positions = None

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Return the optimizer, with a learning rate for each part that has its own."""
        by_part = any(rate is not None for rate in self.part_rates.values())
        if self.optimizer is None and (by_part or self.muon_lr is not None):
            model = self.model if model is None else model
            optimizer, options = self.get_optimizer_cls_and_kwargs(self.args, model)
            self.optimizer = optimizer(self._parameter_groups(model), **options)
            if self.muon_lr is not None:
                matrices = [p for _, n, p in self.vlm.trainable_by_part() if is_inner_matrix(n, p)]
                muon = Muon(matrices, lr=self.muon_lr)
                self.optimizer = ChainedOptimizer(muon, self.optimizer)
        created: torch.optim.Optimizer = super().create_optimizer(model)
        return created

    def train_sampler(self) -> Sampler[Key]:
        """Return the sampler of training examples, whose order depends on (seed, epoch) alone."""
        return EpochSampler(len(self.train_data), self.args.seed)

    def _parameter_groups(self, model: Any) -> list[dict[str, Any]]:
        decaying = set(self.get_decay_parameter_names(model))
        groups: dict[tuple[str, bool], dict[str, Any]] = {}
        for part, name, parameter in self.vlm.trainable_by_part():
            if self.muon_lr is not None and is_inner_matrix(name, parameter):
                continue
            rate = self.part_rates.get(part)
            decay = self.args.weight_decay if name in decaying else 0.0
            group = groups.setdefault(
                (part, name in decaying), {"params": [], "weight_decay": decay}
            )
            group["params"].append(parameter)
            if rate is not None:
                group["lr"] = rate
        return list(groups.values())

    def _loss_of_answers(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        assert self._positions is not None
        losses: torch.Tensor = self.response_loss(
            outputs.logits[0], self._positions.labels, self._positions.previous
        )
        if num_items_in_batch is None:
            return losses.mean()
        total: torch.Tensor = losses.sum() / num_items_in_batch
        return total


class SigmaSchedule(TrainerCallback):
    """Narrow the coordinate targets from one spread to another over the training."""

    def __init__(self, loss: ResponseLoss, first: float, last: float):
        if min(first, last) <= 0:
            raise ValueError(
                f"coord_sigma: a changing spread must stay above 0, got {first}, {last}"
            )
        self.loss, self.first, self.last = loss, first, last

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the spread of the current step."""
        done = state.global_step / max(1, state.max_steps)
        sigma = math.exp((1 - done) * math.log(self.first) + done * math.log(self.last))
        self.loss.coord_sigma = sigma  # of the step alone, so that a resumed run has the same
