# Fine-tune the embedded model on a mixture in two stages: simple images first, then all.
# docs/data_mixing.md explains the keys.
_base_ = ["../_base_/tiny_sft.py", "../_base_/known_shapes.py"]

scenes = _base_.known_shapes
crowded = dict(scenes, num_objects=(2, 5))

detection = dict(
    type="GroundingTask",
    templates="diverse",
    synonyms={"circle": ["disc"], "square": ["box"]},
    plural_rate=0.1,
    extra_categories=["purple circle", "red ring", "green star", "blue moon"],
    num_negatives=(0, 2),
    negatives=dict(confusable=0.5, random=0.5),
)
pointing = dict(type="PointingTask", templates="diverse", num_categories=(1, 3))

train_data = dict(
    sources=[
        dict(dataset=dict(size=2_000, seed=61, **scenes), task=detection, share=3),
        dict(
            dataset=dict(size=500, seed=62, **crowded),
            task=detection,
            share=1,
            repeat_threshold=0.1,  # phrases in less than a tenth of the images come more often
        ),
        dict(dataset=dict(size=1_000, seed=63, **scenes), task=pointing, share=1),
    ],
    epoch_size=1_600,
    stages=[
        dict(name="simple", epochs=2, easiest=0.5, shares=[1, 0, 0]),
        dict(name="all"),
    ],
)
test_data = [
    dict(dataset=dict(size=100, seed=71, **scenes), task=detection),
    dict(dataset=dict(size=100, seed=72, **scenes), task=pointing),
]
trainer = dict(num_train_epochs=5, coord_sigma=(6.0, 4.0))
