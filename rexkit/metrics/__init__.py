"""Metrics: evaluation of many predictions against their ground truth."""

from rexkit.metrics.answer_accuracy import AnswerAccuracy
from rexkit.metrics.box_f1 import BoxF1
from rexkit.metrics.coco_ap import CocoAP
from rexkit.metrics.counting import CountingError
from rexkit.metrics.keypoint_ap import KeypointAP
from rexkit.metrics.keypoint_pck import KeypointPCK
from rexkit.metrics.lvis_ap import LvisAP
from rexkit.metrics.metric import Metric, State
from rexkit.metrics.ocr_hmean import OCRHmean
from rexkit.metrics.point_accuracy import PointAccuracy
from rexkit.metrics.point_f1 import PointF1
from rexkit.metrics.rejection import Rejection
from rexkit.metrics.rexomni_coco_f1 import RexOmniCocoF1
from rexkit.metrics.rexomni_f1 import RexOmniF1
from rexkit.metrics.visual_prompting import VisualPrompting

__all__ = [
    "AnswerAccuracy",
    "BoxF1",
    "CocoAP",
    "CountingError",
    "KeypointAP",
    "KeypointPCK",
    "LvisAP",
    "Metric",
    "OCRHmean",
    "PointAccuracy",
    "PointF1",
    "Rejection",
    "RexOmniCocoF1",
    "RexOmniF1",
    "State",
    "VisualPrompting",
]
