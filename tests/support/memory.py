"""Measure a function's peak memory, including what C code allocates, in a process of its own."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]  # run as a script, this file cannot import from tests


@dataclass(frozen=True)
class Measured:
    """The peak of resident memory above that before the call, and the function's result."""

    mib: float
    result: Any


def measured(function: Callable[..., Any], *arguments: Any) -> Measured:
    """Call a module's function with JSON arguments in a new process."""
    name = f"{function.__module__}:{function.__qualname__}"
    outcome = subprocess.run(
        [sys.executable, __file__, name, json.dumps(arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    return Measured(**json.loads(outcome.stdout.splitlines()[-1]))


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _main(name: str, arguments: str) -> None:
    module, _, function = name.partition(":")
    call = getattr(importlib.import_module(module), function)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # reset the peak to the current memory
    before = _status("VmRSS")
    result = call(*json.loads(arguments))
    sys.stdout.write(json.dumps({"mib": (_status("VmHWM") - before) / 1024, "result": result}) + "\n")


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    _main(*sys.argv[1:])
