# Boxes on LVIS of the public Rex-Omni evaluation.
#   rexkit test eval/rex_omni/box_eval_lvis CHECKPOINT --cfg-options data_root=FOLDER
_base_ = ["../../_base_/rex_omni_box_eval.py"]

dataset_name = "LVIS"
metrics = [
    *("RexOmniF1", "BoxF1", "LvisAP", "Rejection"),
    dict(
        type="RexOmniCocoF1",
        ann_file="${data_root}/coco/lvis_v1_val_with_filename2.json",
        lvis=True,
    ),
]
