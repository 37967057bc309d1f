# Points for phrases, in the wording of the public evaluation.
_base_ = ["rex_omni_eval.py"]

eval_type = "point_eval"

test_data = dict(
    task=dict(
        type="PointingTask",
        templates=["point to {phrases}."],
    )
)
metrics = ["RexOmniF1", "PointF1", "CountingError", "Rejection"]
