# Blood cells in microscope images: fine-tune the embedded model on a small real data set.
# data_root holds train.json, val.json (COCO) with images in train/ and val/, or the TSV files
# that tools/convert_json_data_to_tsv.py makes of them.
_base_ = ["../_base_/tiny_sft.py"]

data_root = "data/bccd"

model = dict(min_pixels=224 * 160, max_pixels=256 * 192)
train_data = dict(
    dataset=dict(type="FolderDataset", root="${data_root}", split="train"),
    transforms=[
        dict(type="RandomCrop", scale=(0.4, 1.0)),
        dict(type="RandomFlip", horizontal=0.5, vertical=0.5),
        dict(type="ColorJitter", strength=0.15),
    ],
    task=dict(type="GroundingTask", left_to_right=True),
    weight=200.0,  # draws of each image, each cut, mirrored and lit another way
)
test_data = dict(
    dataset=dict(type="FolderDataset", root="${data_root}", split="val"),
    task=dict(type="GroundingTask"),
)
trainer = dict(per_device_train_batch_size=8, coord_sigma=(8.0, 4.0), save_strategy="no")
backend = dict(max_new_tokens=400)
