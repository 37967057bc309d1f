"""Predictions for images: `Predictor`, its inputs and results, many files, Ray, serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexkit.lazy_names import lazy_names

if TYPE_CHECKING:
    from rexkit.inference.file_prediction import predict_files as predict_files
    from rexkit.inference.predictor import Predictor as Predictor
    from rexkit.inference.ray_prediction import predict_files_on_ray as predict_files_on_ray
    from rexkit.inference.result import Result as Result
    from rexkit.inference.server import serve as serve

__all__ = ["Predictor", "Result", "predict_files", "predict_files_on_ray", "serve"]

__getattr__ = lazy_names(
    __name__,
    {
        "Predictor": "rexkit.inference.predictor",
        "Result": "rexkit.inference.result",
        "predict_files": "rexkit.inference.file_prediction",
        "predict_files_on_ray": "rexkit.inference.ray_prediction",
        "serve": "rexkit.inference.server",
    },
)
