# Let the embedded model practise grounding: boxes matched one to one, at a strict overlap.
_base_ = ["../_base_/tiny.py", "../_base_/grpo.py", "../_base_/known_shapes.py"]

task = dict(type="GroundingTask", num_categories=(1, 3))

train_data = dict(dataset=dict(size=4000, seed=31, **_base_.known_shapes), task=task)
test_data = dict(dataset=dict(size=200, seed=32, **_base_.known_shapes), task=task)
trainer = dict(
    rewards=[dict(type="box_f1", threshold=0.75), dict(type="format", weight=0.1)], max_steps=100
)
