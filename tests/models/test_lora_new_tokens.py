"""LoRA on a base without coordinate tokens: added rows train, and export gives the same model."""

from __future__ import annotations

import pytest
import torch
from small_models import base_without_coordinates

from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError, UserError
from rexkit.examples import ExampleDataset, Source
from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.models.adapter import check_low_rank
from rexkit.models.export import export
from rexkit.models.whole_weights import whole_weights
from rexkit.tasks import GroundingTask
from rexkit.training.sft_trainer import SFTTrainer

SMALL = dict(hidden_size=64, layers=1, heads=1, vision_hidden_size=64)


@pytest.mark.parametrize("spare", [0, 1400])
@pytest.mark.parametrize(
    ("tied", "lora"),
    [
        (True, {}),
        (False, {}),
        (True, {"trainable_token_indices": [3]}),
        (True, {"trainable_token_indices": {"lm_head": [3], "language_model.embed_tokens": [5]}}),
        (False, {"target_modules": ["qkv"], "modules_to_save": ["layers.0"]}),
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
    rows = lora.get("trainable_token_indices", ())  # beside the added ones
    for row in (3, 5) if isinstance(rows, dict) else rows:
        assert not torch.equal(table(torch.tensor(row)), named[row])
    merged = {name: weight.clone() for name, weight in whole_weights(vlm.model)}
    with pytest.raises(ConfigError, match=r"adapter: .*final has .*, and vLLM applies low-rank"):
        check_low_rank(tmp_path / "run" / "final")
    export(tmp_path / "run", tmp_path / "plain")
    plain = PretrainedVLM(str(tmp_path / "plain"))
    with torch.no_grad():
        got, wanted = plain.model.eval()(**batch).logits, vlm.model.eval()(**batch).logits
    torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(merged, dict(plain.model.named_parameters()), atol=1e-5, rtol=1e-5)


REFUSED = [
    (True, {"modules_to_save": ["embed_tokens"]}, r"modules_to_save: embed_tokens shares"),
    (True, {"modules_to_save": ["lm_head"]}, r"modules_to_save: lm_head shares"),
    (True, {"modules_to_save": "model.language_model"}, r"modules_to_save: embed_tokens shares"),
    (True, {"target_modules": ["q_proj", "lm_head"]}, r"target_modules: lm_head shares"),
    (True, {"target_modules": ".*embed_tokens"}, r"target_modules: embed_tokens shares"),
    (True, {"target_parameters": ["lm_head.weight"]}, r"target_modules: lm_head shares"),
    (False, {"target_modules": ["lm_head"]}, r"target_modules: lm_head cannot have an adapter"),
    (False, {"target_modules": ["embed_tokens"]}, r"embed_tokens cannot have an adapter"),
    (True, {"trainable_token_indices": [-1]}, r"indices: -1 is no row of embed_tokens"),
    (False, {"trainable_token_indices": {"lm_head": [9**9]}}, r"no row of lm_head, which has"),
    (True, {"trainable_token_indices": 5}, r"model\.lora: "),
    (True, {"init_lora_weights": "pissa_niter_4"}, r"init_lora_weights: 'pissa_niter_…' changes"),
    (True, {"lora_bias": True}, r"model\.lora: .*merge .*lora_bias"),
    (True, {"alora_invocation_tokens": [3]}, r"model\.lora: .*merging"),
    (True, {"inference_mode": True}, r"model\.lora\.inference_mode: nothing would train"),
    (True, {"target_modules": ["nope"]}, r"model\.lora: .*nope.* not found"),
    (True, {"nope": 3}, r"model\.lora: .*'nope'"),
    (True, {"r": 0}, r"model\.lora: .*positive"),
]


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def base(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    base_without_coordinates(folder, request.param, 0)
    return folder, request.param


def test_what_could_not_be_exported_is_refused(base):
    folder, tied = base
    for of_tied, lora, message in REFUSED:
        if of_tied == tied:
            with pytest.raises(ConfigError, match=message):
                PretrainedVLM(str(folder), lora={"r": 4, "target_modules": ["q_proj"], **lora})
    with pytest.raises(ConfigError, match="freeze: 1000 tokens were added"):
        PretrainedVLM(str(folder), freeze=["language_model"])


def test_an_adapter_of_another_model_is_an_error(tmp_path):
    TinyVLM(weights=None, **SMALL).save(tmp_path / "base")
    lora = {"r": 4, "target_modules": ["q_proj"]}
    PretrainedVLM(str(tmp_path / "base"), lora=lora).save(tmp_path / "adapter")
    check_low_rank(tmp_path / "adapter")
    with pytest.raises(ConfigError, match=r"adapter: there is no .*base/adapter_config\.json"):
        check_low_rank(tmp_path / "base")
    TinyVLM(weights=None, **{**SMALL, "hidden_size": 128}).save(tmp_path / "other")
    with pytest.raises(UserError, match=r"adapter: it cannot be merged into .*other: .*size"):
        PretrainedVLM(str(tmp_path / "other"), adapter=str(tmp_path / "adapter"))
