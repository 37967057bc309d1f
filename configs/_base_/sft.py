# What every supervised fine-tuning shares; each key is a field of TrainingArguments
# or an argument of SFTTrainer.
trainer = dict(
    type="SFTTrainer",
    per_device_train_batch_size=32,
    learning_rate=1e-3,
    lr_scheduler_type="cosine",
    warmup_steps=0.03,
    max_grad_norm=1.0,
    logging_steps=20,
    save_strategy="epoch",
    save_total_limit=1,
)
seed = 0
test_before = True
num_images = 16
