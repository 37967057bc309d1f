# Fine-tune Rex-Omni, or any Qwen2.5-VL, on grounding data in the TSV format.
#   torchrun --nproc-per-node 8 tools/train.py configs/sft/rex_omni_3b_grounding.py
# From the plain base model: --cfg-options model.path=Qwen/Qwen2.5-VL-3B-Instruct
_base_ = ["../_base_/rex_omni.py", "../_base_/grounding_tsv.py", "../_base_/sft.py"]

trainer = dict(
    per_device_train_batch_size=4,
    gradient_accumulation_steps=4,
    num_train_epochs=1,
    learning_rate=2e-5,
    mm_projector_lr=2e-5,
    vision_tower_lr=2e-6,
    bf16=True,
    gradient_checkpointing=True,
    deepspeed="{{ fileDirname }}/../deepspeed/zero2.json",
    dataloader_num_workers=8,
    save_strategy="steps",
    save_steps=1000,
    save_total_limit=2,
)
