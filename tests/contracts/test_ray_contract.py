"""Private names of Ray that `rexkit._compat.ray` uses."""

from __future__ import annotations

import inspect

import pytest
from contract import find

pytest.importorskip("ray", reason="Ray is an extra: pip install 'rexkit[ray]'")


def test_the_switch_that_binds_servers_to_loopback():
    constants = "ray._private.ray_constants"
    find(f"{constants}:ENABLE_RAY_CLUSTER")
    assert find(f"{constants}:ENABLE_RAY_CLUSTERS_ENV_VAR") == "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    services = inspect.getsource(find("ray._private.services"))
    assert "ray_constants.ENABLE_RAY_CLUSTER" in services, "Ray no longer reads ENABLE_RAY_CLUSTER"


def test_ray_data():
    pytest.importorskip("ray.data", reason="Ray Data is an extra: pip install 'rexkit[ray]'")
    for name in ("from_items", "ActorPoolStrategy", "DataContext.get_current"):
        find(f"ray.data:{name}")
