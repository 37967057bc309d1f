"""Metrics: many predictions and truths to a table of figures."""

from rexkit.metrics.base import Metric
from rexkit.metrics.box_f1 import BoxF1
from rexkit.metrics.coco_ap import CocoAP
from rexkit.metrics.ocr import OCRHmean
from rexkit.metrics.point_f1 import PointF1
from rexkit.metrics.rejection import Rejection

__all__ = ["BoxF1", "CocoAP", "Metric", "OCRHmean", "PointF1", "Rejection"]
