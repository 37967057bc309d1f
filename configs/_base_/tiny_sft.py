# How the embedded model is fine-tuned on words that are new to it: their vectors learn fast, the
# matrices are turned by Muon.
_base_ = ["tiny.py", "sft.py"]

trainer = dict(
    num_train_epochs=1,
    learning_rate=5e-3,
    mm_projector_lr=1e-3,
    vision_tower_lr=1e-3,
    muon_lr=0.02,
    coord_offset=True,
    dataloader_num_workers=1,
)
