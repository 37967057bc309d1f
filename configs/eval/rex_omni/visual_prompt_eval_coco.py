# Visual prompts on COCO of the public Rex-Omni evaluation.
#   rexkit test eval/rex_omni/visual_prompt_eval_coco CHECKPOINT --cfg-options data_root=FOLDER
_base_ = ["../../_base_/rex_omni_visual_prompt_eval.py"]

dataset_name = "COCO"
