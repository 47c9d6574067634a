"""Wait for another process or thread."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 900.0
"""Seconds after which a test gives up: so long that only a hang exceeds it, however slow or busy the machine is.

No test asserts a duration. Benchmarks, which download and train, have `BENCHMARK_S`.
"""

BENCHMARK_S = 3_600.0


def wait_for(condition: Callable[[], object], *, within_s: float = HANG_S) -> None:
    """Return as soon as the condition holds.

    Raises:
        AssertionError: the condition did not hold in time.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not hold within {within_s} s"
        time.sleep(0.01)
