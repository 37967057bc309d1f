"""Private names of peft, accelerate and DeepSpeed that `rexkit._compat` uses."""

from __future__ import annotations

import pytest
from contract import check_parameters, check_source, find

from rexkit._compat.accelerate import FSDP_SHARDS


def test_layers_with_adapters():
    pytest.importorskip("peft", reason="peft is an extra: pip install 'rexkit[grpo]'")
    layer = "peft.tuners.tuners_utils:BaseTunerLayer"
    find(f"{layer}.merge")
    find(f"{layer}.unmerge")
    find("peft:PeftModel.get_base_model")
    check_source("peft.tuners.tuners_utils", "base_layer")
    assert find("peft.tuners.lora.model:LoraModel.prefix") == "lora_"
    check_parameters("peft.tuners.tuners_utils:check_target_module_exists", "config", "key")
    check_source("peft.utils.other:ModulesToSaveWrapper", "original_module", "modules_to_save")


def test_accelerate():
    find("accelerate.utils:is_peft_model")
    check_parameters("accelerate.utils:merge_fsdp_weights", "checkpoint_dir", "output_path")
    assert f"{find('accelerate.utils.constants:FSDP_MODEL_NAME')}_0" == FSDP_SHARDS


def test_shards_of_deepspeed():
    pytest.importorskip(
        "deepspeed", reason="DeepSpeed is an extra: pip install 'rexkit[deepspeed]'"
    )
    check_source("deepspeed.runtime.zero.partition_parameters:Init", "param.ds_id")
    find("deepspeed:zero.GatheredParameters")
    check_parameters(
        "deepspeed.utils.zero_to_fp32:get_fp32_state_dict_from_zero_checkpoint", "checkpoint_dir"
    )
