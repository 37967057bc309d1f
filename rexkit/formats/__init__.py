"""File formats: those of data sets and those that rexkit writes, every reader beside its writer."""

from rexkit.formats.annotation_records import read_record, to_record
from rexkit.formats.coco import is_coco, read_coco, to_coco
from rexkit.formats.coordinates import BoxFormat
from rexkit.formats.image_sources import ImageSource, open_source
from rexkit.formats.images import decode_image, encode_image, read_image
from rexkit.formats.json_lines import JsonLinesFile, parse_json
from rexkit.formats.labelme import to_labelme
from rexkit.formats.phrase_geometries import decode_annotation, encode_annotation
from rexkit.formats.predictions import PredictionRecord, read_predictions
from rexkit.formats.supervision import to_supervision
from rexkit.formats.tsv import TSVReader, TSVWriter

__all__ = [
    "BoxFormat",
    "ImageSource",
    "JsonLinesFile",
    "PredictionRecord",
    "TSVReader",
    "TSVWriter",
    "decode_annotation",
    "decode_image",
    "encode_annotation",
    "encode_image",
    "is_coco",
    "open_source",
    "parse_json",
    "read_coco",
    "read_image",
    "read_predictions",
    "read_record",
    "to_coco",
    "to_labelme",
    "to_record",
    "to_supervision",
]
