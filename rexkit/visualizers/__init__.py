"""Visualizers: annotations and predictions to images."""

from rexkit.visualizers.pillow import PillowVisualizer

__all__ = ["PillowVisualizer"]
