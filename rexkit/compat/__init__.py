"""The interface of the public Rex-Omni package, ``rex_omni``, on top of rexkit.

Code that was written for it runs with one changed import::

    from rexkit.compat import RexOmniVisualize, RexOmniWrapper, TaskType

New code is better served by `rexkit.Predictor`. The names, arguments and records are those of
``rex_omni/`` in the repository IDEA-Research/Rex-Omni.
"""

from __future__ import annotations

from rexkit.compat.drawing import RexOmniVisualize
from rexkit.compat.task_types import TaskType
from rexkit.compat.wrapper import RexOmniWrapper

__all__ = ["RexOmniVisualize", "RexOmniWrapper", "TaskType"]
