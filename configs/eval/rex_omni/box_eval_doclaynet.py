# Boxes on DocLayNet of the public Rex-Omni evaluation.
#   rexkit test eval/rex_omni/box_eval_doclaynet CHECKPOINT --cfg-options data_root=FOLDER
_base_ = ["../../_base_/rex_omni_box_eval.py"]

dataset_name = "DocLayNet"
