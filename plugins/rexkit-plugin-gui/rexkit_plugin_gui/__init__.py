"""GUI tasks for rexkit: find or point to an element of a screenshot.

rexkit imports this module by its entry point; importing the parts registers them.
"""

from rexkit_plugin_gui.click import ClickAccuracy, click
from rexkit_plugin_gui.screenshots import ScreenshotDataset
from rexkit_plugin_gui.synthetic import SyntheticScreenshotDataset
from rexkit_plugin_gui.tasks import GUIGroundingTask, GUIPointingTask

__all__ = [
    "ClickAccuracy",
    "GUIGroundingTask",
    "GUIPointingTask",
    "ScreenshotDataset",
    "SyntheticScreenshotDataset",
    "click",
]
