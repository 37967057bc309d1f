# What every GRPO run shares; each key is a field of TRL's GRPOConfig or an argument of GRPOTrainer.
requires = ["trl"]
trainer = dict(
    type="GRPOTrainer",
    rollout=dict(type="TransformersBackend"),  # reads a group's image once
    per_device_train_batch_size=32,
    num_generations=8,
    max_completion_length=96,
    learning_rate=2e-4,
    lr_scheduler_type="constant_with_warmup",
    warmup_steps=5,
    max_grad_norm=1.0,
    beta=0.0,
    temperature=1.0,
    gradient_checkpointing=False,
    logging_steps=1,
    save_strategy="no",
)
seed = 0
test_before = True
num_images = 16
