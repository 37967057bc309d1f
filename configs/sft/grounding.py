# Fine-tune the embedded model on colours and shapes it was not pre-trained on.
_base_ = ["../_base_/tiny.py", "../_base_/sft.py"]

colors = ["orange", "purple", "cyan"]
shapes = ["star", "cross", "diamond"]

train_data = dict(
    dataset=dict(type="ShapesDataset", size=12_000, seed=11, colors=colors, shapes=shapes),
    task=dict(type="GroundingTask", num_categories=(1, 3)),
)
test_data = dict(
    dataset=dict(
        type="ShapesDataset", size=200, seed=12, colors=colors, shapes=shapes, num_objects=(1, 2)
    ),
    task=dict(type="GroundingTask", num_categories=(1, 3)),
)
trainer = dict(num_train_epochs=1, coord_sigma=(12.0, 3.0))
