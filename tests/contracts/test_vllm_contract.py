"""Private and undocumented names of vLLM that `rexkit._compat.vllm` uses."""

from __future__ import annotations

import pytest
from contract import check_parameters, find

from rexkit._compat.vllm import SERVER_MODULE, choose_runner

choose_runner()
pytest.importorskip("vllm", reason="vLLM is an extra: pip install 'rexkit[vllm]'")

PROCESSORS = "vllm.v1.sample.logits_processor"


def test_the_choice_of_a_model_runner():
    envs = find("vllm.envs:environment_variables")
    name = "VLLM_USE_V2_MODEL_RUNNER"
    assert name in envs, f"vLLM no longer reads {name}"


def test_logits_processors():
    check_parameters(
        f"{PROCESSORS}:LogitsProcessor.__init__", *("vllm_config", "device", "is_pin_memory")
    )
    check_parameters(f"{PROCESSORS}:LogitsProcessor.apply", "logits")
    check_parameters(f"{PROCESSORS}:LogitsProcessor.update_state", "batch_update")
    find(f"{PROCESSORS}:LogitsProcessor.is_argmax_invariant")
    find(f"{PROCESSORS}:LogitsProcessor.validate_params")
    find(f"{PROCESSORS}:MoveDirectionality.SWAP")
    fields = find(f"{PROCESSORS}:BatchUpdate").__dataclass_fields__
    for name in ("batch_size", "removed", "added", "moved"):
        assert name in fields, f"BatchUpdate no longer has {name}"


def test_the_engine():
    find("vllm:LLM.collective_rpc")
    find("vllm:LLM.reset_prefix_cache")
    find("vllm.v1.engine.llm_engine:LLMEngine.reset_encoder_cache")
    fields = find("vllm:EngineArgs").__dataclass_fields__
    for name in ("logits_processors", "worker_extension_cls", "limit_mm_per_prompt"):
        assert name in fields, f"EngineArgs no longer has {name}"
    find("vllm.config:SchedulerConfig").__dataclass_fields__["max_num_seqs"]


def test_sampling_parameters():
    check_parameters(
        "vllm:SamplingParams", *("logprobs", "flat_logprobs", "detokenize", "extra_args")
    )


def test_new_weights():
    find("vllm.model_executor.layers.vocab_parallel_embedding:VocabParallelEmbedding")
    find("vllm.v1.worker.gpu_model_runner:GPUModelRunner.reload_weights")


def test_the_server():
    find(f"{SERVER_MODULE}:main")
