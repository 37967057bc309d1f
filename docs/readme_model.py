# The model whose predictions the README shows: the embedded model, fine-tuned on all tasks of
# rexkit and its GUI plugin, and on synthetic blood cells. Images are drawn large, for the page; the
# model sees all of them at 128 x 128 pixels.
#   python docs/make_images.py --train
_base_ = ["../configs/_base_/tiny_sft.py", "../configs/_base_/known_shapes.py"]
custom_imports = dict(imports=["rexkit_plugin_gui", "cells_dataset"])

scenes = dict(_base_.known_shapes)
pairs = dict(scenes, num_objects=(2, 4), num_absent=(1, 1), repeat=0.7)
stick_figures = dict(type="StickFiguresDataset")
words = dict(type="RenderedTextDataset", words=["cat", "moon", "star", "eye"])
signs = dict(words, num_texts=(1, 2))
turned = dict(words, num_texts=(1, 1), rotation=25.0)
cells = dict(type="CellsDataset")
screens = dict(type="SyntheticScreenshotDataset")

detection = dict(type="GroundingTask", num_categories=(1, 3))
pointing = dict(type="PointingTask", num_categories=(1, 3))
visual_prompting = dict(type="VisualPromptTask", num_references=(1, 2), left_to_right=True)
keypoint = dict(type="KeypointTask", keypoint_type="figure")
ocr_box = dict(type="OCRBoxTask")
ocr_polygon = dict(type="OCRPolygonTask")
cell_detection = dict(type="GroundingTask", left_to_right=True)
gui_grounding = dict(type="GUIGroundingTask", num_categories=(1, 3))
gui_pointing = dict(type="GUIPointingTask", num_categories=(1, 3))

drawn = dict(size=10_000)
model = dict(max_pixels=128 * 128)
train_data = [
    dict(dataset=dict(scenes, seed=41, **drawn), task=detection, weight=0.3),
    dict(dataset=dict(scenes, seed=42, **drawn), task=pointing, weight=0.2),
    dict(dataset=dict(pairs, seed=43, **drawn), task=visual_prompting, weight=0.5),
    dict(dataset=dict(stick_figures, seed=44, **drawn), task=keypoint, weight=0.6),
    dict(dataset=dict(signs, seed=45, **drawn), task=ocr_box, weight=1.2),
    dict(dataset=dict(turned, seed=46, **drawn), task=ocr_polygon, weight=0.8),
    dict(dataset=dict(cells, seed=47, **drawn), task=cell_detection, weight=0.6),
    dict(dataset=dict(screens, seed=48, **drawn), task=gui_grounding, weight=0.4),
    dict(dataset=dict(screens, seed=49, **drawn), task=gui_pointing, weight=0.3),
]
page = dict(size=16, image_size=(1024, 1024))
test_data = [
    dict(dataset=dict(scenes, seed=51, num_absent=(1, 1), **page), task=dict(type="GroundingTask")),
    dict(dataset=dict(scenes, seed=52, num_absent=(1, 1), **page), task=dict(type="PointingTask")),
    dict(dataset=dict(pairs, seed=53, **page), task=visual_prompting),
    dict(dataset=dict(stick_figures, seed=54, **page), task=keypoint),
    dict(dataset=dict(signs, seed=55, **page), task=ocr_box),
    dict(dataset=dict(turned, seed=56, **page), task=ocr_polygon),
    dict(dataset=dict(cells, seed=57, **page), task=dict(type="GroundingTask"), name="Cells"),
    dict(
        dataset=dict(screens, seed=58, **page),
        task=dict(type="GUIGroundingTask", num_categories=None),
    ),
    dict(
        dataset=dict(screens, seed=59, **page),
        task=dict(type="GUIPointingTask", num_categories=None),
    ),
]
trainer = dict(
    coord_sigma=(6.0, 4.0), packing=True, max_row_tokens=384, save_strategy="steps", save_steps=100
)
backend = dict(max_new_tokens=160)
test_before = False
