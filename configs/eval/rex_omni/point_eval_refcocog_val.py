# Points on RefCOCOg val of the public Rex-Omni evaluation.
#   rexkit test eval/rex_omni/point_eval_refcocog_val CHECKPOINT --cfg-options data_root=FOLDER
_base_ = ["../../_base_/rex_omni_point_eval.py"]

dataset_name = "RefCOCOg_val"
