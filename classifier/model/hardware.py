"""What the machine offers, found out without importing a deep-learning framework."""

from __future__ import annotations

import os
import platform
from pathlib import Path

BFLOAT16 = frozenset({"amx_bf16", "avx512_bf16"})
"""The processor's flags that say it multiplies bfloat16: Intel's tiles, and the AVX-512 of AMD's Zen 4 and others."""


def multiplies_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Say whether the processor has instructions for products of bfloat16; without them it is slower than float32."""
    try:
        with cpuinfo.open(encoding="ascii", errors="ignore") as lines:
            return any(BFLOAT16.intersection(line.split()) for line in lines if line.startswith("flags"))
    except OSError:
        return False


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, "") or platform.machine()
    except OSError:
        return platform.processor() or platform.machine()


def keras_backend() -> str:
    """Return what Keras is to compute with, which is also the package's name: tensorflow, torch or jax."""
    return os.environ.get("KERAS_BACKEND", "tensorflow")


def may_have_gpu(devices: Path = Path("/dev")) -> bool:
    """Say whether there is an NVIDIA device to ask Keras' backend about; False means there is none."""
    return any(devices.glob("nvidia[0-9]*")) or (devices / "dxg").exists()  # dxg: Windows' Linux


def available_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Count the cores that this process may use, at least one.

    A container held to two of sixty-four cores sees all of them: its quota, microseconds of CPU time
    in a period, is in the control group. Sixty-four threads on two cores wait for each other.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    return cores if allowed == "max" else max(1, min(cores, int(allowed) // int(period)))
