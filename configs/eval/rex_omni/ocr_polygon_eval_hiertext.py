# Text and polygons on HierText of the public Rex-Omni evaluation.
#   rexkit test eval/rex_omni/ocr_polygon_eval_hiertext CHECKPOINT --cfg-options data_root=FOLDER
_base_ = ["../../_base_/rex_omni_ocr_polygon_eval.py"]

dataset_name = "HierText"
