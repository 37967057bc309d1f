"""A new virtual environment, to install packages in that the running one does not have."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

from paths import ROOT

MODULES = {"pip": "pip", "pytest": "pytest", "rexkit": "rexkit.cli"}


class FreshVenv:
    """A virtual environment that sees the running one's packages, without network.

    Args:
        folder: a new folder, for the environment; commands run in ``cwd``.
        cwd: left out, the repository's root.
        checkout: whether ``rexkit`` is the checkout's; if not, it has to be installed.
    """

    def __init__(self, folder: Path, cwd: Path = ROOT, checkout: bool = True):
        venv.create(folder)
        self.python = folder / "bin" / "python"
        self.cwd = cwd
        self.env = {"OMP_NUM_THREADS": "1", "COLUMNS": "160"}
        self.env["PYTHONPATH"] = str(ROOT) if checkout else ""
        inside = next((folder / "lib").glob("python*/site-packages"))
        outside = sysconfig.get_path("purelib")
        (inside / "outside.pth").write_text(f"import site; site.addsitedir({outside!r})\n")

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a command as typed, with the environment's own programs; pip takes no network."""
        program, *words = shlex.split(line)
        command = [str(self.python), *(["-m", MODULES[program]] if program in MODULES else [])]
        assert program in (*MODULES, "python"), f"the environment has no {program}"
        if program == "pip":
            words[1:1] = ["--quiet", "--no-deps", "--no-build-isolation"]
        env = {**os.environ, **self.env}
        return subprocess.run(
            [*command, *words], cwd=self.cwd, env=env, capture_output=True, text=True, check=False
        )

    def succeed(self, line: str) -> str:
        """Run a command that must succeed; returns what it wrote to standard output."""
        done = self.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


def copy_package(source: Path, target: Path) -> Path:
    """A copy of a package's folder to install from: pip leaves its build files there."""
    leave = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    return Path(shutil.copytree(source, target, ignore=leave))
