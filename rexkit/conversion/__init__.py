"""Conversion of data sets between formats: which there are, what they hold, what gets lost."""

# The order is that in which formats are recognised: the most particular first.
from rexkit.conversion.predictions_format import PredictionsFormat  # isort: skip
from rexkit.conversion.refcoco_format import RefcocoFormat  # isort: skip
from rexkit.conversion.coco_format import CocoFormat, CocoWriter  # isort: skip
from rexkit.conversion.yolo_format import YoloFormat  # isort: skip
from rexkit.conversion.labelstudio_format import LabelStudioFormat  # isort: skip
from rexkit.conversion.cvat_format import CvatFormat  # isort: skip
from rexkit.conversion.screenspot_format import ScreenspotFormat  # isort: skip
from rexkit.conversion.odvg_format import OdvgFormat  # isort: skip
from rexkit.conversion.vott_format import VottFormat  # isort: skip
from rexkit.conversion.image_file_formats import LabelMeFormat, VocFormat  # isort: skip
from rexkit.conversion.conversation_formats import ShareGptFormat, SwiftFormat  # isort: skip
from rexkit.conversion.rexomni_eval_format import RexOmniEvalFormat  # isort: skip
from rexkit.conversion.parquet_format import ParquetFormat  # isort: skip
from rexkit.conversion.text_file_formats import IcdarFormat, TotalTextFormat  # isort: skip
from rexkit.conversion.record_formats import JsonlFormat, RexOmniTSVFormat  # isort: skip
from rexkit.conversion.conversion import ConversionReport, convert
from rexkit.conversion.data_format import (
    DataFormat,
    SourceSplit,
    Writer,
    find_format,
    first_row,
    label_names,
)
from rexkit.conversion.features import FEATURES, Feature
from rexkit.conversion.rows import ConvertedRow, RowFile

__all__ = [
    "FEATURES",
    "CocoFormat",
    "CocoWriter",
    "ConversionReport",
    "ConvertedRow",
    "CvatFormat",
    "DataFormat",
    "Feature",
    "IcdarFormat",
    "JsonlFormat",
    "LabelMeFormat",
    "LabelStudioFormat",
    "OdvgFormat",
    "ParquetFormat",
    "PredictionsFormat",
    "RefcocoFormat",
    "RexOmniEvalFormat",
    "RexOmniTSVFormat",
    "RowFile",
    "ScreenspotFormat",
    "ShareGptFormat",
    "SourceSplit",
    "SwiftFormat",
    "TotalTextFormat",
    "VocFormat",
    "VottFormat",
    "Writer",
    "YoloFormat",
    "convert",
    "find_format",
    "first_row",
    "label_names",
]
