"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def real_data(name: str) -> Path:
    """Path of real data below `$WSIMIL_DATA` or `../shared/data`; skips the test, saying so, where it is missing."""
    folder = Path(os.environ.get("WSIMIL_DATA", ROOT.parent / "shared" / "data"))
    path = folder / name
    if not path.exists():
        pytest.skip(f"real data missing: {path} (set WSIMIL_DATA)")
    return path


@pytest.fixture(name="real_data")
def _real_data():
    return real_data
