"""Run commands as another user of the machine, which only root can do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.waiting import HANG_S

USER_ID = 65_534
"""A user id without rights."""

only_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can act as another user"
)


def run_as_second_user(home: Path, *arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `classifier` as the other user, with a home, in a folder that the user can read."""
    user = f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"
    command = ["setpriv", *user, sys.executable, "-m", "classifier", *map(str, arguments)]
    environment = {**os.environ, "CLASSIFIER_HOME": str(home), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        command, check=False, cwd=folder or "/", env=environment, capture_output=True, text=True, timeout=HANG_S
    )
