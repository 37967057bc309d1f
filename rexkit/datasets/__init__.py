"""Data sets: TSV, COCO and JSONL files, images drawn from a seed, and transforms."""

from rexkit.datasets.chat_dataset import ChatDataset
from rexkit.datasets.coco_dataset import CocoDataset
from rexkit.datasets.concat_dataset import ConcatDataset
from rexkit.datasets.conversation_datasets import ShareGptDataset, SwiftDataset
from rexkit.datasets.cvat_dataset import CvatDataset
from rexkit.datasets.folder_dataset import folder_dataset
from rexkit.datasets.icdar_dataset import IcdarDataset
from rexkit.datasets.instance_mask_dataset import InstanceMaskDataset
from rexkit.datasets.jsonl_dataset import JsonlDataset
from rexkit.datasets.labelme_dataset import LabelMeDataset
from rexkit.datasets.labelstudio_dataset import LabelStudioDataset
from rexkit.datasets.lvis_dataset import LvisDataset
from rexkit.datasets.mixture_dataset import MixtureDataset
from rexkit.datasets.odvg_dataset import OdvgDataset
from rexkit.datasets.parquet_dataset import ParquetDataset
from rexkit.datasets.predictions_dataset import PredictionsDataset
from rexkit.datasets.refcoco_dataset import RefcocoDataset
from rexkit.datasets.rendered_text_dataset import RenderedTextDataset
from rexkit.datasets.rexomni_eval_dataset import RexOmniEvalDataset
from rexkit.datasets.row_dataset import OnError, Orientation, RowDataset, RowOptions
from rexkit.datasets.screenspot_dataset import ScreenspotDataset
from rexkit.datasets.shapes_dataset import ShapesDataset
from rexkit.datasets.stick_figures_dataset import StickFiguresDataset
from rexkit.datasets.synthetic_dataset import SyntheticDataset
from rexkit.datasets.transforms import (
    ColorJitter,
    CopyPaste,
    Mosaic,
    RandomBlur,
    RandomCrop,
    RandomFlip,
    RandomGrayscale,
    RandomJpeg,
    RandomNoise,
    RandomPerspective,
    RandomRotate,
    Resize,
    Rotate90,
    TextOverlay,
)
from rexkit.datasets.tsv_dataset import TSVDataset
from rexkit.datasets.voc_dataset import VocDataset
from rexkit.datasets.vott_dataset import VottDataset
from rexkit.datasets.yolo_dataset import YoloDataset
from rexkit.formats.coordinates import Coordinates, OnOutside

__all__ = [
    "ChatDataset",
    "CocoDataset",
    "ColorJitter",
    "ConcatDataset",
    "Coordinates",
    "CopyPaste",
    "CvatDataset",
    "IcdarDataset",
    "InstanceMaskDataset",
    "JsonlDataset",
    "LabelMeDataset",
    "LabelStudioDataset",
    "LvisDataset",
    "MixtureDataset",
    "Mosaic",
    "OdvgDataset",
    "OnError",
    "OnOutside",
    "Orientation",
    "ParquetDataset",
    "PredictionsDataset",
    "RandomBlur",
    "RandomCrop",
    "RandomFlip",
    "RandomGrayscale",
    "RandomJpeg",
    "RandomNoise",
    "RandomPerspective",
    "RandomRotate",
    "RefcocoDataset",
    "RenderedTextDataset",
    "Resize",
    "RexOmniEvalDataset",
    "Rotate90",
    "RowDataset",
    "RowOptions",
    "ScreenspotDataset",
    "ShapesDataset",
    "ShareGptDataset",
    "StickFiguresDataset",
    "SwiftDataset",
    "SyntheticDataset",
    "TSVDataset",
    "TextOverlay",
    "VocDataset",
    "VottDataset",
    "YoloDataset",
    "folder_dataset",
]
