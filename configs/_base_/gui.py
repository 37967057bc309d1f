# Synthetic screenshots for both tasks of rexkit-plugin-gui.
requires = ["rexkit-plugin-gui"]

screens = dict(type="SyntheticScreenshotDataset")
gui_grounding = dict(type="GUIGroundingTask")
gui_pointing = dict(type="GUIPointingTask")

gui_sources = [
    dict(
        dataset=dict(size=8_000, seed=31, **screens),
        task=dict(num_categories=(1, 3), **gui_grounding),
    ),
    dict(
        dataset=dict(size=8_000, seed=32, **screens),
        task=dict(num_categories=(1, 3), **gui_pointing),
    ),
]
gui_tests = [
    dict(dataset=dict(size=150, seed=33, num_absent=(0, 0), **screens), task=gui_grounding),
    dict(dataset=dict(size=150, seed=34, num_absent=(0, 0), **screens), task=gui_pointing),
]
