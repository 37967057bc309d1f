# Fine-tune the embedded model on synthetic screenshots: a box around an element, or a point on it.
#   pip install ./plugins/rexkit-plugin-gui
_base_ = ["../_base_/tiny_sft.py"]

requires = ["rexkit-plugin-gui"]

screens = dict(type="SyntheticScreenshotDataset")
grounding = dict(type="GUIGroundingTask")
pointing = dict(type="GUIPointingTask")

train_data = [
    dict(
        dataset=dict(size=8_000, seed=31, **screens),
        task=dict(num_categories=(1, 3), **grounding),
    ),
    dict(
        dataset=dict(size=8_000, seed=32, **screens),
        task=dict(num_categories=(1, 3), **pointing),
    ),
]
test_data = [
    dict(dataset=dict(size=150, seed=33, num_absent=(0, 0), **screens), task=grounding),
    dict(dataset=dict(size=150, seed=34, num_absent=(0, 0), **screens), task=pointing),
]
trainer = dict(coord_sigma=(6.0, 4.0))
