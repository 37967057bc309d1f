"""Private and undocumented names of transformers that `rexkit._compat.transformers` uses."""

from __future__ import annotations

import pytest
import torch
from contract import check_order, check_parameters, check_source, find
from small_models import KINDS, small_model

from rexkit._compat.transformers import (
    CHECKPOINT_PREFIX,
    TRAINER_STATE,
    attention_name,
    rope_positions,
    vision_outputs,
)

MODELS = [
    "transformers.models.qwen3_vl.modeling_qwen3_vl:Qwen3VLModel",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl:Qwen2_5_VLModel",
]


def test_names_of_checkpoint_files():
    assert find("transformers.trainer_utils:PREFIX_CHECKPOINT_DIR") == CHECKPOINT_PREFIX
    assert find("transformers.trainer:TRAINER_STATE_NAME") == TRAINER_STATE


def test_the_trainer_state_is_written_last():
    check_order(
        "transformers:Trainer._save_checkpoint",
        *("self.save_model(output_dir", "self._save_optimizer_and_scheduler(output_dir)"),
        *("self._save_rng_state(output_dir)", "TRAINER_STATE_NAME"),
    )


def test_the_hooks_of_the_trainer():
    check_parameters("transformers:Trainer._save_checkpoint", "model", "trial")
    check_source("transformers:Trainer._save_checkpoint", "save_total_limit=self.args.save_total")
    check_source("transformers:Trainer._maybe_log_save_evaluate", "self._save_checkpoint(model")
    check_order(
        "transformers:Trainer._inner_training_loop",
        *("_init_training_state(", "on_train_begin(", "self._run_epoch(", "should_training_stop"),
    )
    check_parameters("transformers:TrainerState.compute_steps", "args", "max_steps")


def test_the_sampler_of_the_trainer():
    check_parameters("transformers:Trainer._get_train_sampler", "train_dataset")
    check_source("transformers:Trainer.get_train_dataloader", "_get_train_sampler")


def test_the_loss_of_the_trainer():
    check_parameters("transformers:Trainer.compute_loss", "model", "inputs", "return_outputs")
    check_source(
        "transformers:Trainer.compute_loss",
        *("self.compute_loss_func(", 'inputs.pop("labels")', "num_items_in_batch"),
    )


@pytest.mark.parametrize("module", ["sdpa_attention", "flex_attention"])
def test_attention_functions(module):
    path = f"transformers.integrations.{module}:{module}_forward"
    check_parameters(path, *("module", "query", "key", "value", "attention_mask", "scaling"))


@pytest.mark.parametrize("name", ["sdpa_mask", "flex_attention_mask"])
def test_mask_functions(name):
    check_parameters(
        f"transformers.masking_utils:{name}",
        *("batch_size", "q_length", "kv_length", "mask_function", "attention_mask"),
    )


def test_attention_interfaces():
    find("transformers:AttentionInterface.register")
    find("transformers:AttentionMaskInterface.register")
    find("transformers:PreTrainedModel.set_attn_implementation")


@pytest.mark.parametrize("path", MODELS)
def test_models(path):
    check_parameters(
        f"{path}.get_rope_index",
        *("input_ids", "mm_token_type_ids", "image_grid_thw", "attention_mask"),
    )
    check_parameters(
        f"{path}.forward", *("input_ids", "attention_mask", "position_ids", "mm_encoder_outputs")
    )
    check_source(path, "self.rope_deltas")


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_of_models(kind):
    inner = small_model(kind, hidden_size=64, layers=1, heads=1, vision_hidden_size=64).inner
    assert attention_name(inner) == "sdpa"
    ids = torch.zeros(1, 3, dtype=torch.long)
    found = rope_positions(
        inner, input_ids=ids, mm_token_type_ids=ids, attention_mask=torch.ones_like(ids)
    )
    assert found.tolist() == [[[0, 1, 2]]] * 3
    output = inner(input_ids=ids, mm_token_type_ids=ids)
    replaced = output.last_hidden_state[:, :1]
    output.last_hidden_state = replaced
    assert output[0] is replaced, "a changed last_hidden_state is not what the output layer gets"
    assert hasattr(inner, "rope_deltas")


def test_outputs_of_the_vision_tower():
    image = vision_outputs([torch.zeros(2, 4)], [[torch.ones(2, 4)]])["mm_encoder_outputs"]["image"]
    assert image.pooler_output[0].shape == (2, 4)
    assert image.deepstack_features[0][0].shape == (2, 4)


def test_resizing():
    module = "transformers.models.qwen2_vl.image_processing_pil_qwen2_vl"
    check_parameters(
        f"{module}:smart_resize", *("height", "width", "factor", "min_pixels", "max_pixels")
    )
    processor = find(f"{module}:Qwen2VLImageProcessorPil")()
    for name in ("patch_size", "merge_size", "temporal_patch_size", "size", "resample"):
        assert hasattr(processor, name), f"Qwen2VLImageProcessorPil no longer has {name}"
    assert processor.size["shortest_edge"] < processor.size["longest_edge"]


def test_files_of_a_checkpoint(tmp_path):
    cached_file = find("transformers.utils.hub:cached_file")
    check_parameters("transformers.utils.hub:cached_file", "path_or_repo_id", "filename")
    (tmp_path / "a.json").write_text("{}")
    assert cached_file(str(tmp_path), "a.json") == str(tmp_path / "a.json")
    with pytest.raises(OSError, match=r"b\.json"):
        cached_file(str(tmp_path), "b.json")


def test_callbacks():
    check_parameters("transformers.integrations.integration_utils:TensorBoardCallback", "tb_writer")


def test_what_is_installed():
    find("transformers.utils.import_utils:is_flash_attn_2_available")()
    find("transformers.utils.import_utils:is_torchvision_available")()
