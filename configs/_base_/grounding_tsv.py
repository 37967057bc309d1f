# Boxes in the TSV format of the public Rex-Omni training code, for training and for the test.
data_root = "data/grounding"

train_data = dict(
    dataset=dict(
        type="TSVDataset",
        img_tsv_file="${data_root}/train.images.tsv",
        ann_tsv_file="${data_root}/train.annotations.tsv",
        ann_lineidx_file="${data_root}/train.annotations.tsv.lineidx",
    ),
    task=dict(type="GroundingTask", left_to_right=True),  # as the weights answer
)
test_data = dict(
    dataset=dict(
        type="TSVDataset",
        img_tsv_file="${data_root}/val.images.tsv",
        ann_tsv_file="${data_root}/val.annotations.tsv",
        ann_lineidx_file="${data_root}/val.annotations.tsv.lineidx",
    ),
    task=dict(type="GroundingTask", left_to_right=True),  # as the weights answer
)
