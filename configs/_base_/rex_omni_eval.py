# The public evaluation set of Rex-Omni: its folder, and how its scripts decode.
# https://huggingface.co/datasets/Mountchicken/Rex-Omni-EvalData, with its archives unpacked.
_base_ = ["rex_omni.py"]

data_root = "data/Rex-Omni-Eval"
eval_type = "box_eval"

backend = dict(
    temperature=0.0,
    repetition_penalty=1.05,
    max_new_tokens=4096,
    stop=["<0><0><0><0>"],  # of a model that repeats itself
)
test_data = dict(
    name="${dataset_name}",
    dataset=dict(
        type="RexOmniEvalDataset",
        ann_file="${data_root}/annotations/${eval_type}/${dataset_name}.jsonl",
        image_dir="${data_root}",
        max_num_samples=None,
    ),
)
