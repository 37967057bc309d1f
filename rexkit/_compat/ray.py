"""Private names of Ray."""

from __future__ import annotations

import os


def bind_to_loopback() -> None:
    """Have Ray bind its servers to loopback instead of all interfaces.

    Ray does so only where it supports no clusters, and has no public option for it. The processes
    that Ray starts read the environment variable, which is named for other systems; the constant
    is what Ray read from it when it was imported. An address on loopback then stays as it is.
    """
    import ray

    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
