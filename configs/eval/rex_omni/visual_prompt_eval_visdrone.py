# Visual prompts on VisDrone of the public Rex-Omni evaluation.
#   rexkit test eval/rex_omni/visual_prompt_eval_visdrone CHECKPOINT --cfg-options data_root=FOLDER
_base_ = ["../../_base_/rex_omni_visual_prompt_eval.py"]

dataset_name = "VisDrone"
