# Fine-tune the embedded model on colours and shapes it was not pre-trained on.
_base_ = ["../_base_/tiny.py", "../_base_/sft.py"]

shapes = dict(
    type="ShapesDataset",
    colors=["orange", "purple", "cyan"],
    shapes=["star", "diamond", "ring"],
    styles=["color", "shape", "color shape"],
    num_objects=(1, 2),
    num_absent=(1, 2),
)
task = dict(type="GroundingTask", num_categories=(1, 3))

train_data = dict(dataset=dict(size=20_000, seed=11, **shapes), task=task)
test_data = dict(dataset=dict(size=200, seed=12, **shapes), task=task)
trainer = dict(
    num_train_epochs=1,
    # New words are new vectors: their table learns fast, the matrices are turned by Muon.
    learning_rate=5e-3,
    mm_projector_lr=1e-3,
    vision_tower_lr=1e-3,
    muon_lr=0.02,
    coord_sigma=(6.0, 4.0),
    coord_offset=True,
    dataloader_num_workers=1,
)
