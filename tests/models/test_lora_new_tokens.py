"""LoRA on a base without coordinate tokens: added rows train, and export gives the same model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError
from rexkit.examples import ExampleDataset, Source
from rexkit.grammar.tokens import COORD_TOKENS
from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.models.export import export
from rexkit.tasks import GroundingTask
from rexkit.training.sft_trainer import SFTTrainer

SMALL = dict(hidden_size=64, layers=1, heads=1, vision_hidden_size=64)


def base_without_coordinates(folder: Path, tied: bool, spare: int) -> None:
    """Save a small checkpoint whose vocabulary has no coordinate tokens."""
    TinyVLM(weights=None, **SMALL).save(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    removed = {a["id"] for a in tokenizer["added_tokens"] if a["content"] in set(COORD_TOKENS)}
    kept = [a for a in tokenizer["added_tokens"] if a["id"] not in removed]
    state = load_file(folder / "model.safetensors")
    [name] = [n for n in state if n.endswith("embed_tokens.weight")]
    order = [i for i in range(len(state[name])) if i not in removed]
    for entry in kept:
        entry["id"] = order.index(entry["id"])
    (folder / "tokenizer.json").write_text(json.dumps({**tokenizer, "added_tokens": kept}))
    rows = torch.cat([state[name][order], torch.randn(spare, 64) * 0.02])
    state = {n: w for n, w in state.items() if "lm_head" not in n} | {name: rows}
    if not tied:
        state["lm_head.weight"] = torch.randn(rows.shape) * 0.05
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    for part in (config, config["text_config"]):
        part |= {"vocab_size": len(rows), "tie_word_embeddings": tied}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("spare", [0, 1400])
@pytest.mark.parametrize(
    ("tied", "lora"),
    [
        (True, {}),
        (False, {}),
        (True, {"trainable_token_indices": [3]}),
        (False, {"modules_to_save": ["embed_tokens", "lm_head"]}),
        (False, {"modules_to_save": ["lm_head"]}),
    ],
)
def test_added_rows_train_and_are_exported(tmp_path, tied, lora, spare):
    base_without_coordinates(tmp_path / "base", tied, spare)
    data = ExampleDataset([Source(ShapesDataset(8), GroundingTask())], training=True)
    vlm = PretrainedVLM(
        str(tmp_path / "base"), lora={"r": 4, "target_modules": "all-linear", **lora}
    )
    batch = vlm.encoder.examples([data[0], data[1]])
    batch.pop("labels")
    before = vlm.model.get_input_embeddings()(torch.tensor(vlm.coordinate_ids)).detach().clone()
    named = vlm.model.get_input_embeddings()(torch.arange(8)).detach().clone()
    SFTTrainer(
        vlm, data, tmp_path / "run", per_device_train_batch_size=4, max_steps=4,
        learning_rate=1e-2, save_strategy="no", disable_tqdm=True, packing=True,
    ).fit()  # fmt: skip
    after = vlm.model.get_input_embeddings()(torch.tensor(vlm.coordinate_ids)).detach()
    assert (after != before).any(dim=1).sum() > 10
    table = vlm.model.get_input_embeddings()
    for row in lora.get("trainable_token_indices", ()):  # beside the added ones
        assert not torch.equal(table(torch.tensor(row)), named[row])
    export(tmp_path / "run", tmp_path / "plain")
    plain = PretrainedVLM(str(tmp_path / "plain"))
    with torch.no_grad():
        got, wanted = plain.model.eval()(**batch).logits, vlm.model.eval()(**batch).logits
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", ["embed_tokens", "lm_head"])
def test_a_copy_of_a_tied_matrix_is_refused(tmp_path, layer):
    base_without_coordinates(tmp_path / "base", True, 0)
    with pytest.raises(ConfigError, match=rf"model\.lora\.modules_to_save: {layer} shares"):
        PretrainedVLM(str(tmp_path / "base"), lora={"r": 4, "modules_to_save": [layer]})
