# Boxes on COCO of the public Rex-Omni evaluation.
#   rexkit test eval/rex_omni/box_eval_coco CHECKPOINT --cfg-options data_root=FOLDER
_base_ = ["../../_base_/rex_omni_box_eval.py"]

dataset_name = "COCO"
metrics = [
    *("RexOmniF1", "BoxF1", "CocoAP", "Rejection"),
    dict(type="RexOmniCocoF1", ann_file="${data_root}/coco/instances_val2017.json"),
]
