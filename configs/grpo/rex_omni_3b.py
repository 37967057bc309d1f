# Reinforcement learning of Rex-Omni, or of what configs/sft/rex_omni_3b_grounding.py left, on GPUs:
#   torchrun --nproc-per-node 8 tools/train.py configs/grpo/rex_omni_3b.py
# Each process samples with vLLM beside the model it trains, and hands it the weights after a step.
_base_ = ["../_base_/rex_omni.py", "../_base_/grounding_tsv.py", "../_base_/grpo.py"]

work_dir = "work_dirs/grpo_rex_omni_3b"

train_data = dict(rewards=[dict(type="box_iou"), dict(type="format", weight=0.1)])
trainer = dict(
    rollout=dict(
        type="VLLMBackend",
        scores=False,
        dtype="bfloat16",
        max_model_len=8192,
        gpu_memory_utilization=0.3,
        distributed_executor_backend="external_launcher",  # an engine in each of our processes
    ),
    per_device_train_batch_size=8,
    gradient_accumulation_steps=4,
    max_completion_length=1024,
    num_train_epochs=1,
    learning_rate=1e-6,
    warmup_steps=20,
    beta=0.01,
    bf16=True,
    gradient_checkpointing=True,
    deepspeed="{{ fileDirname }}/../deepspeed/zero2.json",
    dataloader_num_workers=8,
    save_strategy="steps",
    save_steps=200,
    save_total_limit=2,
    completions_every=100,
)
