"""Build step that puts ``configs/`` into the wheel as ``rexkit/configs``.

Everything else is declared in pyproject.toml. An editable install reads the folder in place.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# configs/pretrain needs tools/pretrain_tiny.py, which is in the checkout only.
LEFT_OUT = shutil.ignore_patterns("pretrain", "__pycache__", "*.pyc")


class BuildWithConfigs(build_py):
    """Build the package, and copy the shipped configs into it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "rexkit" / "configs"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree("configs", target, ignore=LEFT_OUT)


setup(cmdclass={"build_py": BuildWithConfigs})
