"""Describe what produced a model, apart from its recipe and data: versions, commit and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from classifier.model.hardware import available_cores, keras_backend, may_have_gpu

PACKAGES = ("article-classifier", "keras", "keras-hub", "numpy", "tensorflow", "tensorflow-cpu", "tokenizers", "torch")


def describe_provenance() -> dict[str, Any]:
    """Return the versions, the commit (None outside a checkout) and the machine of this process."""
    return {"versions": _versions(), "commit": commit(), "machine": _machine()}


def commit(directory: Path = Path(__file__).parents[1]) -> str | None:
    """Return the git commit of the code, with "+changes" if files differ from it; None outside a checkout.

    If the package is installed inside another project's checkout, that project's commit is not returned.
    """
    try:
        _git(directory, "ls-files", "--error-unmatch", "__init__.py")
        head = _git(directory, "rev-parse", "HEAD")
        changes = _git(directory, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}+changes" if changes else head


def _git(directory: Path, *arguments: str) -> str:
    # no optional locks: another git process may be running
    command = ("git", "--no-optional-locks", "-C", str(directory), *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _machine() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": available_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpus": _gpus(),
        "backend": keras_backend(),
    }


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="ignore").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _gpus() -> list[str]:
    if not may_have_gpu():
        return []
    try:
        command = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
