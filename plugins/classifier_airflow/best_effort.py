"""Run secondary work of a task, such as sending metrics, so that its errors never fail the task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

log = logging.getLogger(__name__)

P = ParamSpec("P")


def best_effort(message: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Return a decorator that logs a function's error in one line with the message, instead of raising it."""

    def decorate(function: Callable[P, None]) -> Callable[P, None]:
        @wraps(function)
        def attempt(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - no error may fail the task's main work
                log.warning("%s: %s: %s", message, type(error).__name__, first_line(error))

        return attempt

    return decorate


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; a database adds statements and their values in further lines."""
    return next(iter(str(error).splitlines()), "")[:500]
