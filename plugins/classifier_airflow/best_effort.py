"""What is done beside a task's work, such as telling others of it, and must never fail the task."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

log = logging.getLogger(__name__)

P = ParamSpec("P")


def best_effort(what: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Have what a function raises logged in one line, which says `what` was not done, instead of raised."""

    def borne(function: Callable[P, None]) -> Callable[P, None]:
        @wraps(function)
        def tried(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - whatever it is, the task's work is worth more
                log.warning("%s: %s: %s", what, type(error).__name__, first_line(error))

        return tried

    return borne


def first_line(error: BaseException) -> str:
    """Return what an error says, without what a database adds in further lines: statements and their values."""
    return next(iter(str(error).splitlines()), "")[:500]
