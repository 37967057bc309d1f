"""Visualizers: annotations and predictions to pictures."""

from rexkit.visualizers.pillow import PillowVisualizer

__all__ = ["PillowVisualizer"]
