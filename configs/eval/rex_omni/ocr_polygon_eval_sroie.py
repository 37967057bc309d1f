# Text and polygons on SROIE of the public Rex-Omni evaluation.
#   rexkit test eval/rex_omni/ocr_polygon_eval_sroie CHECKPOINT --cfg-options data_root=FOLDER
_base_ = ["../../_base_/rex_omni_ocr_polygon_eval.py"]

dataset_name = "SROIE"
