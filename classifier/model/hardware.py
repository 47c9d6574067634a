"""What the machine offers, found out without importing a deep-learning framework."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from classifier.exceptions import SettingsError

BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
"""Flags of processors that multiply bfloat16: Intel's AMX tiles, and AVX-512 of Intel and of AMD since Zen 4."""

KERAS_BACKENDS = ("tensorflow", "torch")


def multiplies_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor has instructions for bfloat16 products. If not, bfloat16 is slower than float32."""
    try:
        with cpuinfo.open(encoding="ascii", errors="ignore") as lines:
            return any(BFLOAT16_FLAGS.intersection(line.split()) for line in lines if line.startswith("flags"))
    except OSError:
        return False


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, or its architecture if the system does not know the name."""
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, "") or platform.machine()
    except OSError:
        return platform.processor() or platform.machine()


def keras_backend() -> str:
    """Return the backend that Keras uses, which is also the name of its package.

    Raises:
        SettingsError: `KERAS_BACKEND` names a backend that this package does not support.
    """
    name = os.environ.get("KERAS_BACKEND", "tensorflow")
    if name not in KERAS_BACKENDS:
        raise SettingsError(f"KERAS_BACKEND {name!r}: must be one of {', '.join(KERAS_BACKENDS)}")
    return name


def backend_version() -> dict[str, str]:
    """Return the version of the backend's package by its name; TensorFlow without CUDA is `tensorflow-cpu`."""
    name = keras_backend()
    try:
        return {name: version(name)}
    except PackageNotFoundError:
        return {f"{name}-cpu": version(f"{name}-cpu")}


def may_have_gpu(devices: Path = Path("/dev")) -> bool:
    """Return whether there is an NVIDIA device; if there is none, Keras need not be imported to look for a GPU."""
    return any(devices.glob("nvidia[0-9]*")) or (devices / "dxg").exists()  # dxg: the Windows Subsystem for Linux


def available_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return the number of cores that this process may use, at least 1.

    A container that is limited to two of sixty-four cores sees all of them. Its quota, in microseconds of CPU time per
    period, is in the control group. Sixty-four threads on two cores would wait for each other.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return cores
    return cores if allowed == "max" else max(1, min(cores, int(allowed) // int(period)))


def available_memory(meminfo: Path = Path("/proc/meminfo"), control_group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that this process may still use: the machine's, or what the container's limit leaves.

    Pages of files that the container has read count as free. None if neither can be read.
    """
    amounts = []
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        amounts += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        pass
    try:
        limit = (control_group / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            used = int((control_group / "memory.current").read_text(encoding="ascii"))
            statistics = (control_group / "memory.stat").read_text(encoding="ascii").splitlines()
            cached = sum(int(line.split()[1]) for line in statistics if line.startswith("inactive_file "))
            amounts.append(int(limit) - used + cached)
    except (OSError, ValueError):
        pass
    return min(amounts) if amounts else None
