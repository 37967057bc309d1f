# Let the embedded model practise pointing: a point is right if it lies in a true box.
_base_ = ["../_base_/tiny.py", "../_base_/grpo.py", "../_base_/known_shapes.py"]

task = dict(type="PointingTask", num_categories=(1, 3))

train_data = dict(dataset=dict(size=4000, seed=21, **_base_.known_shapes), task=task)
test_data = dict(dataset=dict(size=200, seed=22, **_base_.known_shapes), task=task)
trainer = dict(rewards=[dict(type="point_in_box"), dict(type="format", weight=0.1)], max_steps=100)
