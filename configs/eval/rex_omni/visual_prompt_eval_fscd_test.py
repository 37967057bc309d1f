# Visual prompts on FSCD test of the public Rex-Omni evaluation.
#   rexkit test eval/rex_omni/visual_prompt_eval_fscd_test CHECKPOINT --cfg-options data_root=FOLDER
_base_ = ["../../_base_/rex_omni_visual_prompt_eval.py"]

dataset_name = "FSCD_test"
