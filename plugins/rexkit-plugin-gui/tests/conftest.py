"""What several tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def gui_data() -> Path:
    """Real screenshots that lie beside the repository and not in it."""
    folder = CHECKOUT.parent / "shared" / "data" / "gui"
    if not folder.is_dir():
        pytest.skip(f"real screenshots are not at {folder}")
    return folder
