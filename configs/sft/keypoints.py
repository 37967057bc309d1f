# Fine-tune the embedded model on the keypoints of stick figures.
_base_ = ["../_base_/tiny_sft.py"]

task = dict(type="KeypointTask", keypoint_type="figure")

train_data = dict(dataset=dict(type="StickFiguresDataset", size=20_000, seed=11), task=task)
test_data = dict(dataset=dict(type="StickFiguresDataset", size=200, seed=12), task=task)
trainer = dict(coord_sigma=(6.0, 4.0))
# The response for one stick figure has 117 tokens.
backend = dict(max_new_tokens=160)
