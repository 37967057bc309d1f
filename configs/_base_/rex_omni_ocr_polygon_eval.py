# Text with its polygons, in the wording of the public evaluation.
_base_ = ["rex_omni_eval.py"]

test_data = dict(
    task=dict(
        type="OCRPolygonTask",
        templates=[
            "Can you detect all the {phrases} in this image in polygon format like "
            "[x0, y0, x1, y1, x2, y2 ...] and then recognize them?"
        ],
    )
)
metrics = ["RexOmniF1", dict(type="OCRHmean", geometry="polygon")]
