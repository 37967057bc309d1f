# How well the embedded model sees: 500 images it was not trained on, 24 possible phrases.
#   python tools/test.py configs/eval/tiny.py
_base_ = ["../_base_/tiny.py"]

shapes = dict(
    type="ShapesDataset",
    size=500,
    seed=77,
    colors=["red", "green", "blue", "yellow", "white", "black"],
    shapes=["circle", "square", "triangle", "cross"],
    num_objects=(1, 3),
    num_absent=(1, 1),
)
test_data = [
    dict(dataset=shapes, task=dict(type="GroundingTask", num_categories=(1, 3))),
    dict(dataset=shapes, task=dict(type="PointingTask", num_categories=(1, 3))),
]
