# GRPO of the embedded model on pointing, with single categories and up to four instances each. A
# point is right if it lies in a target box that no other point is matched with.
_base_ = ["../_base_/tiny.py", "../_base_/grpo.py", "../_base_/known_shapes.py"]

work_dir = "work_dirs/grpo_pointing"
shapes = dict(num_objects=(2, 4), num_absent=(1, 1), repeat=0.6)
task = dict(type="PointingTask", num_categories=(1, 2))

train_data = dict(dataset=dict(size=4000, seed=21, **{**_base_.known_shapes, **shapes}), task=task)
test_data = dict(dataset=dict(size=200, seed=22, **{**_base_.known_shapes, **shapes}), task=task)
trainer = dict(
    rewards=[dict(type="point_in_box"), dict(type="format", weight=0.1)],
    per_device_train_batch_size=64,
    learning_rate=1e-4,
    lr_scheduler_type="linear",
    max_steps=150,
)
