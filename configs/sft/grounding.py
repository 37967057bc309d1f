# Fine-tune the embedded model on colours and shapes it was not pre-trained on.
_base_ = ["../_base_/tiny_sft.py"]

shapes = dict(
    type="ShapesDataset",
    colors=["orange", "purple", "cyan"],
    shapes=["star", "diamond", "ring"],
    styles=["color", "shape", "color shape"],
    num_objects=(1, 2),
    num_absent=(1, 2),
)
task = dict(type="GroundingTask", num_categories=(1, 3))

train_data = dict(dataset=dict(size=15_000, seed=11, **shapes), task=task)
test_data = dict(dataset=dict(size=200, seed=12, **shapes), task=task)
trainer = dict(coord_sigma=(6.0, 4.0))
