"""The folders that tests read: the checkout, and the real articles that are not part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.support import common

ROOT = Path(__file__).resolve().parents[2]
DATA = common.data_folder()

needs_articles = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"{DATA}: not found; put the articles there or set {common.DATA_VARIABLE}"
)
"""Marks a test that reads BBC's or C50's articles."""

CASES = Path(__file__).resolve().parents[1] / "data" / "cases"
"""Small files that users have, which tests read."""
