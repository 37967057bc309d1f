"""Where samples come from: TSV, COCO and JSONL files, shapes drawn from a seed, and mixtures."""

from rexkit.datasets.coco import CocoDataset
from rexkit.datasets.concat import ConcatDataset
from rexkit.datasets.drawn import DrawnDataset
from rexkit.datasets.errors import DataError
from rexkit.datasets.figures import FiguresDataset
from rexkit.datasets.folder import folder_dataset
from rexkit.datasets.icdar import IcdarDataset
from rexkit.datasets.instance_masks import InstanceMaskDataset
from rexkit.datasets.jsonl import JsonlDataset
from rexkit.datasets.lvis import LvisDataset
from rexkit.datasets.rendered_text import RenderedTextDataset
from rexkit.datasets.rexomni_eval import RexOmniEvalDataset
from rexkit.datasets.shapes import ShapesDataset
from rexkit.datasets.transforms import ColorJitter, RandomCrop, RandomFlip
from rexkit.datasets.tsv import TSVDataset
from rexkit.datasets.tsv_writer import TSVWriter

__all__ = [
    "CocoDataset",
    "ColorJitter",
    "ConcatDataset",
    "DataError",
    "DrawnDataset",
    "FiguresDataset",
    "IcdarDataset",
    "InstanceMaskDataset",
    "JsonlDataset",
    "LvisDataset",
    "RandomCrop",
    "RandomFlip",
    "RenderedTextDataset",
    "RexOmniEvalDataset",
    "ShapesDataset",
    "TSVDataset",
    "TSVWriter",
    "folder_dataset",
]
