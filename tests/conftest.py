"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Several test processes share few cores: one thread each is fastest. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Small real data sets that lie beside the repository and not in it."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is not at {folder}")
    return folder
