"""Fixtures every room shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Nothing is timed in the tests: a busy machine is no failure.
settings.register_profile("regard", deadline=None)
settings.load_profile("regard")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; tests that use it are skipped where it is absent.

    Set REGARD_DATA to say where it is.
    """
    folder = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set REGARD_DATA to the folder that holds it)")
    return folder
