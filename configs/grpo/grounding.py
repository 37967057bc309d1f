# GRPO of the embedded model on cases that its training did not have: questions with one category,
# and up to four instances of a category. Boxes are matched one to one.
_base_ = ["../_base_/tiny.py", "../_base_/grpo.py", "../_base_/known_shapes.py"]

work_dir = "work_dirs/grpo_grounding"
shapes = dict(num_objects=(2, 4), num_absent=(1, 1), repeat=0.6)
task = dict(type="GroundingTask", num_categories=(1, 2))

train_data = dict(dataset=dict(size=4000, seed=31, **{**_base_.known_shapes, **shapes}), task=task)
test_data = dict(dataset=dict(size=200, seed=32, **{**_base_.known_shapes, **shapes}), task=task)
trainer = dict(
    rewards=[dict(type="box_f1", threshold=0.75), dict(type="format", weight=0.1)],
    per_device_train_batch_size=64,
    learning_rate=1e-4,
    lr_scheduler_type="linear",
    max_steps=150,
)
