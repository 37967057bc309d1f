"""Plugins: a good one adds components and hooks, a broken one is reported and harms nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

GOOD = '''
from rexkit.plugins import hook
from rexkit.registry import TASK_FNS
from rexkit.tasks import GroundingTask

@TASK_FNS.register_module()
class CountingTask(GroundingTask):
    """Counts objects."""

@hook
def rexkit_config(config):
    config["seen"] = "by the plugin"
'''
BROKEN = "import a_package_that_is_not_there\n"
BAD_HOOK = """
from rexkit.plugins import hook

@hook
def rexkit_no_such_hook(config):
    pass
"""


@pytest.fixture
def installed(tmp_path: Path):
    """Install modules as plugins the way pip does: a module and its dist-info."""

    def install(**modules: str) -> dict[str, str]:
        for name, code in modules.items():
            (tmp_path / f"plug_{name}.py").write_text(code)
            info = tmp_path / f"rexkit_plugin_{name}-1.2.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: rexkit-plugin-{name}\nVersion: 1.2\n"
            )
            (info / "entry_points.txt").write_text(f"[rexkit.plugins]\n{name} = plug_{name}\n")
        paths = [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "COLUMNS": "160"}

    return install


def run(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], env=env, capture_output=True, text=True, check=False
    )


def test_a_plugin_adds_components_and_hooks(installed):
    env = installed(good=GOOD)
    listing = run(env, "-m", "rexkit.cli", "plugins")
    assert listing.returncode == 0
    for word in ("rexkit-plugin-good 1.2", "TASK_FNS: CountingTask", "rexkit_config", "loaded"):
        assert word in listing.stdout
    code = (
        "from rexkit.plugins import call_hook; from rexkit.registry import TASK_FNS; config = {};"
        "call_hook('rexkit_config', config=config); print(config, TASK_FNS.get('CountingTask'))"
    )
    assert "by the plugin" in run(env, "-c", code).stdout
    assert "CountingTask" in run(env, "-m", "rexkit.cli", "list", "TASK_FNS").stdout


def test_a_broken_plugin_is_reported_and_harms_nothing(installed):
    env = installed(good=GOOD, broken=BROKEN)
    listing = run(env, "-m", "rexkit.cli", "plugins")
    assert listing.returncode == 1
    for word in ("rexkit-plugin-broken 1.2", "failed", "Traceback", "a_package_that_is_not_there"):
        assert word in listing.stdout
    assert "CountingTask" in listing.stdout
    code = "from rexkit.registry import TASK_FNS; TASK_FNS.build(dict(type='GroundingTask'))"
    assert run(env, "-c", code).returncode == 0


def test_asking_for_a_component_of_a_broken_plugin_says_so(installed):
    env = installed(broken=BROKEN)
    code = "from rexkit.registry import TASK_FNS; TASK_FNS.build(dict(type='CountingTask'))"
    error = run(env, "-c", code).stderr
    assert "'CountingTask' is not in TASK_FNS" in error
    assert "'broken' failed to load" in error
    assert "a_package_that_is_not_there" in error


def test_an_unknown_hook_is_a_failure_of_the_plugin(installed):
    listing = run(installed(bad=BAD_HOOK), "-m", "rexkit.cli", "plugins")
    assert listing.returncode == 1
    assert "rexkit_no_such_hook" in listing.stdout


def test_a_plugin_cannot_take_a_name_of_the_core(installed):
    code = GOOD.replace("register_module()", "register_module('GroundingTask')")
    listing = run(installed(thief=code), "-m", "rexkit.cli", "plugins")
    assert listing.returncode == 1
    assert "GroundingTask is already registered" in listing.stdout


def test_without_plugins(installed):
    assert "No plugins" in run(installed(), "-m", "rexkit.cli", "plugins").stdout
