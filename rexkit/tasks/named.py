"""Look-up of tasks by name, such as "detection"."""

from __future__ import annotations

from rexkit.errors import ConfigError, did_you_mean
from rexkit.registry import TASK_FNS, origin
from rexkit.tasks.task import Task


def task_names() -> dict[str, type[Task]]:
    """Return every task class of TASK_FNS by its ``name``, including those of plugins.

    Only a class that defines ``name`` itself is included: one that inherits it is a variant of
    another task and must be passed as an object.

    Raises:
        ConfigError: two classes define the same name.
    """
    found: dict[str, type[Task]] = {}
    for component in TASK_FNS.components().values():
        name = vars(component).get("name") if isinstance(component, type) else None
        if not isinstance(name, str) or found.get(name) is component:
            continue
        if name in found:
            classes = " and ".join(
                f"{c.__name__} ({origin(c)})" for c in sorted((found[name], component), key=str)
            )
            raise ConfigError(
                f"two tasks are called {name!r}: {classes}; rename one of them, or pass the task "
                "as an object"
            )
        found[name] = component
    return found


def task_named(name: str) -> Task:
    """Return a task with its default arguments.

    Raises:
        ConfigError: no task has that name; the message lists the nearest names.

    >>> type(task_named("pointing")).__name__
    'PointingTask'
    """
    known = task_names()
    if name not in known:
        raise ConfigError(f"task: there is no {name!r}; {did_you_mean(name, known)}")
    return known[name]()
