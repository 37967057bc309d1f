# Text and polygons on IC15 of the public Rex-Omni evaluation.
#   rexkit test eval/rex_omni/ocr_polygon_eval_ic15 CHECKPOINT --cfg-options data_root=FOLDER
_base_ = ["../../_base_/rex_omni_ocr_polygon_eval.py"]

dataset_name = "IC15"
