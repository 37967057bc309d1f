"""New virtual environments, for tests that install packages."""

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
    """Create a virtual environment that also finds the packages of the running one.

    Args:
        folder: the folder of the environment, which must not exist.
        cwd: the folder that commands run in; by default the root of the repository.
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
        """Run a command line with the environment's programs; pip uses no network."""
        program, *arguments = shlex.split(line)
        command = [str(self.python), *(["-m", MODULES[program]] if program in MODULES else [])]
        assert program in (*MODULES, "python"), f"the environment has no {program}"
        if program == "pip":
            arguments[1:1] = ["--quiet", "--no-deps", "--no-build-isolation"]
        env = {**os.environ, **self.env}
        return subprocess.run(
            [*command, *arguments],
            cwd=self.cwd,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )

    def succeed(self, line: str) -> str:
        """Run a command line that must succeed, and return its standard output."""
        done = self.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


def copy_package(source: Path, target: Path) -> Path:
    """Copy the folder of a package to install from, since pip leaves build files in it."""
    leave = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    return Path(shutil.copytree(source, target, ignore=leave))
