# Pointing with mask annotations: a point is right if it lies in the mask of its own instance.
# data_root holds points.jsonl with the images and masks that it names (see InstanceMaskDataset).
_base_ = ["../_base_/tiny.py", "../_base_/grpo.py"]

data_root = "data/nuclei"
work_dir = "work_dirs/grpo_pointing_mask"

data = dict(
    dataset=dict(
        type="InstanceMaskDataset", ann_file="${data_root}/points.jsonl", image_dir="${data_root}"
    ),
    task=dict(type="PointingTask"),
)
model = dict(min_pixels=224 * 160, max_pixels=256 * 192)
train_data = dict(**data, transforms=[dict(type="ColorJitter", strength=0.15)], weight=100.0)
test_data = data
trainer = dict(
    rewards=[dict(type="point_in_mask"), dict(type="count", weight=0.2)],
    per_device_train_batch_size=8,
    max_completion_length=400,
    max_steps=100,
)
backend = dict(max_new_tokens=400)
