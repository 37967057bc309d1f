"""Private and experimental names of TRL that `rexkit._compat.trl` uses."""

from __future__ import annotations

import inspect

import pytest
from contract import check_parameters, check_source, find

pytest.importorskip("trl", reason="TRL is an extra: pip install 'rexkit[grpo]'")

from rexkit._compat.trl import AdaptedGRPOTrainer

TRAINER = "trl.trainer.grpo_trainer:GRPOTrainer"
OVERRIDDEN = {
    "_get_train_sampler": "dataset",
    "_generate_and_score_completions": "inputs",
    "_calculate_rewards": "inputs",
    "_tokenize_prompts": "prompts",
    "_get_per_token_logps_and_entropies": "input_ids",
}


@pytest.mark.parametrize("method", OVERRIDDEN)
def test_overridden_methods(method):
    check_parameters(f"{TRAINER}.{method}", OVERRIDDEN[method])
    assert method in vars(AdaptedGRPOTrainer)
    callers = (inspect.getsource(find(TRAINER)), inspect.getsource(find("transformers:Trainer")))
    assert any(f"self.{method}" in source for source in callers), f"TRL no longer calls {method}"


def test_log_probs_of_completions():
    check_parameters(
        f"{TRAINER}._get_per_token_logps_and_entropies",
        *("model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"),
        *("compute_entropy", "compute_aux_loss", "pixel_values", "image_grid_thw"),
        *("num_images", "mm_token_type_ids"),
    )


def test_attributes_of_the_trainer():
    check_source(
        TRAINER,
        *("self._buffered_inputs = None", "self._step = 0", "self._metrics[mode]["),
        *("self.current_gradient_accumulation_steps", "self.ref_model"),
        "self.max_completion_length",
    )


def test_rollouts():
    check_parameters(f"{TRAINER}.__init__", "rollout_func", "reward_funcs", "processing_class")
    check_source(
        TRAINER,
        *("self.rollout_func(prompts, self)", '"prompt_ids"', '"completion_ids"', '"logprobs"'),
    )


def test_batches_that_are_learned_from():
    check_source(
        f"{TRAINER}._generate_and_score_completions",
        *('"prompt_ids"', '"prompt_mask"', '"completion_ids"', '"completion_mask"'),
        *('"advantages"', '"old_per_token_logps"', '"sampling_per_token_logps"'),
        *('"pixel_values"', '"image_grid_thw"', '"num_images"'),
    )


def test_arguments_of_rewards():
    check_source(TRAINER, "completion_ids", "log_metric", "trainer_state")


def test_the_fused_output_layer():
    check_source("trl.trainer.utils:add_fused_lm_head", "fused_lm_head", "shift_labels")
    fields = find("trl.trainer.utils:FusedCausalLMOutput").__dataclass_fields__
    for name in ("log_probs", "entropy"):
        assert name in fields, f"FusedCausalLMOutput no longer has {name}"


def test_gathering_the_model_for_generation():
    check_parameters(
        "trl.models.utils:unwrap_model_for_generation",
        *("model", "accelerator", "gather_deepspeed3_params", "gradient_checkpointing_kwargs"),
    )


def test_fields_of_the_config():
    fields = find("trl.trainer.grpo_config:GRPOConfig").__dataclass_fields__
    for name in (
        *("num_generations", "generation_batch_size", "steps_per_generation", "num_iterations"),
        *("generation_kwargs", "max_completion_length", "temperature", "top_p", "top_k", "min_p"),
        *("repetition_penalty", "beta", "ds3_gather_for_generation", "use_vllm"),
        *("vllm_importance_sampling_correction", "vllm_importance_sampling_mode"),
        *("vllm_importance_sampling_clip_min", "vllm_importance_sampling_clip_max"),
    ):
        assert name in fields, f"GRPOConfig no longer has {name}"
