"""A training on a mixture that is resumed in any stage is the one that was not stopped."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import TrainerCallback

from rexkit.examples import build_examples
from rexkit.models import TinyVLM
from rexkit.training.grpo.prompts import PromptDataset
from rexkit.training.sft_trainer import SFTTrainer

TASK = dict(type="GroundingTask")


def data():
    shapes = dict(type="ShapesDataset", size=6)
    sources = [
        dict(dataset=shapes, task=TASK, repeat_threshold=0.9),
        dict(dataset=dict(shapes, seed=1), task=TASK, max_examples=3),
    ]
    stages = [dict(epochs=1, easiest=0.5, shares=[2, 1]), dict(epochs=1), dict(shares=[1, 1])]
    cfg = dict(sources=sources, epoch_size=5, temperature=2.0, stages=stages, gradual=True)
    return build_examples(cfg, "train_data", 3, True)


class Stop(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = control.should_save = state.global_step >= 3


def run(folder: Path, resume: bool = False, callbacks=()):
    model = TinyVLM(
        weights=None, hidden_size=64, layers=1, heads=1, vision_hidden_size=64, vision_layers=1
    )
    settings = dict(per_device_train_batch_size=2, num_train_epochs=3, logging_steps=1, seed=3)
    trainer = SFTTrainer(
        model,
        data(),
        folder,
        save_strategy="no",
        disable_tqdm=True,
        callbacks=list(callbacks),
        **settings,
    )
    trainer.fit(resume)
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    return losses, (folder / "final" / "model.safetensors").read_bytes()


def test_it_goes_on_bit_for_bit(tmp_path):
    through = run(tmp_path / "through")
    run(tmp_path / "cut", callbacks=[Stop()])  # in the last step of the first epoch
    assert run(tmp_path / "cut", resume=True) == through
    assert len(through[0]) == 9


def test_prompts_of_reinforcement_learning_come_from_the_mixture():
    examples = data()
    prompts = PromptDataset(examples)
    assert len(prompts) == len(examples)
    for epoch in (0, 2):
        for key in ((epoch, index) for index in range(len(prompts))):
            row = prompts[key]
            assert row["example"].source == examples[key].source
            assert row["source"] == examples.source_of(key[1], epoch)
