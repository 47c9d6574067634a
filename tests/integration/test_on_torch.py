"""What is PyTorch's own is tested in a process whose Keras computes with PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.slow
def test_what_is_pytorchs_own_computes_what_keras_does():
    """The tests of `tests/on_torch`; those for a GPU are skipped where there is none."""
    pytest.importorskip("torch", reason="computes with PyTorch: install the extra 'torch'")
    # Keras converts its variables to NumPy in a way that NumPy warns of
    command = [sys.executable, "-m", "pytest", "--noconftest", "-W", "ignore", "-q", "tests/on_torch"]
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
