"""The modules for PyTorch are tested in a process whose Keras uses PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.slow
def test_the_functions_of_pytorch_compute_what_keras_computes():
    """Run the tests of `tests/on_torch`; if there is no GPU, those for a GPU are skipped."""
    pytest.importorskip("torch", reason="computes with PyTorch: install the extra 'torch'")
    # NumPy warns about the way in which Keras converts variables
    command = [sys.executable, "-m", "pytest", "--noconftest", "-W", "ignore", "-q", "tests/on_torch"]
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-5000:]
    assert " passed" in result.stdout
