# Boxes for reference boxes, in the wording of the public evaluation.
_base_ = ["rex_omni_eval.py"]

eval_type = "visual_prompt_eval"

test_data = dict(
    task=dict(
        type="VisualPromptTask",
        reference_style="evaluation",
        templates=[
            "Given reference boxes {references} indicating one or more objects, find all objects "
            "with the same category in the image and output their bounding boxes in "
            "[x0, y0, x1, y1] format."
        ],
    )
)
metrics = ["RexOmniF1", "VisualPrompting"]
