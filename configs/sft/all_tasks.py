# Fine-tune the embedded model on six tasks in one mixture, all data synthetic.
# The weight of a source says how much of its data an epoch draws.
_base_ = ["../_base_/tiny_sft.py", "../_base_/known_shapes.py"]

scenes = _base_.known_shapes
pairs = dict(scenes, num_objects=(2, 4), num_absent=(1, 1), repeat=0.7)
stick_figures = dict(type="StickFiguresDataset")
signs = dict(type="RenderedTextDataset", num_texts=(1, 2))
turned = dict(type="RenderedTextDataset", num_texts=(1, 1), rotation=25.0)

detection = dict(type="GroundingTask", num_categories=(1, 3))
pointing = dict(type="PointingTask", num_categories=(1, 3))
visual_prompting = dict(type="VisualPromptTask", num_references=(1, 2), left_to_right=True)
keypoint = dict(type="KeypointTask", keypoint_type="figure")
ocr_box = dict(type="OCRBoxTask")
ocr_polygon = dict(type="OCRPolygonTask")

train_data = [
    dict(dataset=dict(size=10_000, seed=41, **scenes), task=detection, weight=0.5),
    dict(dataset=dict(size=10_000, seed=42, **scenes), task=pointing, weight=0.4),
    dict(dataset=dict(size=10_000, seed=43, **pairs), task=visual_prompting, weight=0.7),
    dict(dataset=dict(size=10_000, seed=44, **stick_figures), task=keypoint, weight=0.8),
    dict(dataset=dict(size=10_000, seed=45, **signs), task=ocr_box, weight=0.8),
    dict(dataset=dict(size=10_000, seed=46, **turned), task=ocr_polygon, weight=0.6),
]
test_data = [
    dict(dataset=dict(size=100, seed=51, **scenes), task=detection),
    dict(dataset=dict(size=100, seed=52, **scenes), task=pointing),
    dict(dataset=dict(size=100, seed=53, **pairs), task=visual_prompting),
    dict(dataset=dict(size=100, seed=54, **stick_figures), task=keypoint),
    dict(dataset=dict(size=100, seed=55, **signs), task=ocr_box),
    dict(dataset=dict(size=100, seed=56, **turned), task=ocr_polygon),
]
trainer = dict(coord_sigma=(6.0, 4.0), packing=True, max_row_tokens=384)
# The response for one stick figure has 117 tokens.
backend = dict(max_new_tokens=160)
