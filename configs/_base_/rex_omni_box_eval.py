# Boxes for phrases, in the wording of the public evaluation.
_base_ = ["rex_omni_eval.py"]

test_data = dict(
    task=dict(
        type="GroundingTask",
        templates=[
            "Detect {phrases}. Output the bounding box coordinates in [x0, y0, x1, y1] format."
        ],
    )
)
metrics = ["RexOmniF1", "BoxF1", "CocoAP", "Rejection"]
