# The six tasks of rexkit and the two of this plugin, on one mixture.
#   python tools/train.py plugins/rexkit-plugin-gui/configs/all_tasks_gui.py
_base_ = ["../../../configs/sft/all_tasks.py"]

requires = ["rexkit-plugin-gui"]

screens = dict(type="SyntheticScreenshotDataset")
grounding = dict(type="GUIGroundingTask")
pointing = dict(type="GUIPointingTask")

train_data = [
    *_base_.train_data,
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
    *_base_.test_data,
    dict(dataset=dict(size=150, seed=33, num_absent=(0, 0), **screens), task=grounding),
    dict(dataset=dict(size=150, seed=34, num_absent=(0, 0), **screens), task=pointing),
]
