"""Visualizers: images of annotations and predictions."""

from rexkit.visualizers.pillow import PillowVisualizer

__all__ = ["PillowVisualizer"]
