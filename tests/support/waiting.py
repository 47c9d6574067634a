"""Wait for what another process or thread is about to do."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 900.0
"""Seconds after which a test gives up. Only what hangs takes so long, however slow or busy the machine is.

No test says by seconds that something is fast. Benchmarks, which download and train, have `BENCHMARK_S`.
"""

BENCHMARK_S = 3_600.0


def wait_for(condition: Callable[[], object], *, within_s: float = HANG_S) -> None:
    """Return as soon as the condition holds.

    Raises:
        AssertionError: it did not come to hold in so many seconds.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.01)
