"""Wait for what another process or thread is about to do."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], *, within_s: float) -> None:
    """Return as soon as the condition holds.

    Raises:
        AssertionError: it did not come to hold in so many seconds.
    """
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.01)
