# Pre-train the embedded model: tools/pretrain_tiny.py runs the stages in order, each from the
# weights of the previous one.
_base_ = ["../_base_/tiny.py"]

custom_imports = dict(imports=["naming_task"])  # beside tools/pretrain_tiny.py
model = dict(weights=None)

# Orange, purple, cyan, … and star, diamond, … are kept for fine-tuning.
words = dict(
    colors=["red", "green", "blue", "yellow", "white", "black"],
    shapes=["circle", "square", "triangle", "cross"],
)


def shapes(style, size, seed, **options):
    return dict(type="ShapesDataset", styles=[style], size=size, seed=seed, **words, **options)


def mixture(size, seed, shares, num_categories, naming, points=0.25, **options):
    """Return sources of boxes and points, in several styles of phrase, and of phrases of boxes."""
    grounding = dict(type="GroundingTask", num_categories=num_categories)
    pointing = dict(type="PointingTask", num_categories=num_categories)
    sources = []
    for i, (style, share) in enumerate(shares.items()):
        for j, (task, part) in enumerate(((grounding, 1 - points), (pointing, points))):
            number = int(size * (1 - naming) * share * part)
            data = shapes(style, number, seed + 10 * i + j, **options)
            sources.append(dict(dataset=data, task=task))
    named = shapes("color shape", max(1, int(size * naming)), seed + 99, **options)
    return [*sources, dict(dataset=named, task=dict(type="NamingTask"))]


colors_first = {"color": 0.6, "shape": 0.2, "color shape": 0.2}
all_styles = {"color": 0.2, "shape": 0.2, "color shape": 0.6}
settling_styles = {"color": 0.1, "shape": 0.1, "color shape": 0.8}

trainer = dict(
    type="SFTTrainer",
    num_train_epochs=1,
    per_device_train_batch_size=32,
    learning_rate=1e-3,
    muon_lr=0.02,
    adam_beta2=0.98,
    weight_decay=0.0,
    logging_steps=50,
    save_strategy="no",
    dataloader_num_workers=1,
)
steady = dict(lr_scheduler_type="constant_with_warmup", warmup_steps=20)
loss_options = dict(coord_offset=True, presence_weight=2.0)
stages = [
    dict(  # one object: where it is
        train_data=mixture(
            12_800, 1000, {"color": 1.0}, (1, 2), 0.05, 0.1, num_objects=(1, 1), num_absent=(0, 1)
        ),
        trainer=dict(steady, warmup_steps=100, coord_sigma=15.0),
    ),
    dict(  # two objects: which of them
        train_data=mixture(
            48_000, 2000, colors_first, (1, 2), 0.1, 0.2, num_objects=(1, 2), num_absent=(1, 2)
        ),
        trainer=dict(**steady, coord_sigma=(15.0, 10.0)),
    ),
    dict(  # three objects, and the phrases of given boxes
        train_data=mixture(
            48_000, 3000, all_styles, (1, 3), 0.35, num_objects=(1, 3), num_absent=(1, 2)
        ),
        trainer=dict(**steady, **loss_options, coord_sigma=(10.0, 8.0)),
    ),
    dict(  # many questions an image, half of them about absent phrases: presence
        train_data=mixture(
            80_000, 4000, all_styles, (3, 6), 0.05, num_objects=(1, 3), num_absent=(2, 4)
        ),
        trainer=dict(**steady, **loss_options, coord_sigma=(8.0, 4.0)),
    ),
    dict(  # converge on responses of the usual length
        train_data=mixture(
            48_000, 5000, settling_styles, (2, 4), 0.02, 0.35, num_objects=(1, 3), num_absent=(1, 2)
        ),
        trainer=dict(
            **loss_options, lr_scheduler_type="linear", warmup_steps=20, coord_sigma=(4.0, 2.0)
        ),
    ),
]
