"""Keep what the sections have read, so that the page answers at once however slow the database is.

Reading happens in a few threads of its own, never in those of the API server, and once at a time for each
section. A request gets what was read last while it is read anew, and waits only where nothing was read yet, and
not long. So neither many readers nor a database that hangs take anything from Airflow.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from classifier.exceptions import StatementTimeoutError, UserError

log = logging.getLogger(__name__)

T = TypeVar("T")

THREADS = 4
ACTING = 2
TIMEOUT_S = 3.0
"""How long a request waits for what was never read before."""

ACT_S = 60.0
"""How long a request waits for what it does to be done."""

MAX_ENTRIES = 32
"""Readings that are kept, and that may be under way. A model's evaluation of a thousand categories takes 3 MB."""

SLOW = "the database does not answer in time; this page tries again by itself"


class NotDoneYetError(UserError):
    """This takes longer than a page waits. It goes on: look again in a while."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a section shows: a value, or why there is none. With both, the value is older than it should be.

    `at` is a time of `time.time`, when the value was read.
    """

    value: Any = None
    error: str | None = None
    at: float = 0.0


@dataclass(slots=True)
class _Kept:
    reading: Reading | None = None
    tried_at: float = 0.0
    task: Future[Any] | None = None

    def settle(self) -> None:
        """Take over what the thread has read."""
        if self.task is None or not self.task.done():
            return
        task, self.task = self.task, None
        error = task.exception()
        if error is None:
            self.reading = Reading(task.result(), at=time.time())
        else:
            self.reading = replace(self.reading or Reading(), error=said(error))


class Cache:
    """What was read, by key. All but the reading itself happens in the event loop's thread."""

    def __init__(self, *, patience_s: float = TIMEOUT_S) -> None:
        self._patience_s = patience_s
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._readers = ThreadPoolExecutor(THREADS, thread_name_prefix="classifier-page")
        self._actors = ThreadPoolExecutor(ACTING, thread_name_prefix="classifier-page-acts")

    async def get(self, key: Hashable, read: Callable[[], Any], *, fresh_s: float) -> Reading:
        """Return what was read in the last seconds; else read it, and return what there is."""
        kept = self._entry(key)
        kept.settle()
        if kept.task is None and time.monotonic() - kept.tried_at >= fresh_s:
            if sum(one.task is not None for one in self._kept.values()) >= MAX_ENTRIES:
                return kept.reading or Reading(error=SLOW)
            kept.task, kept.tried_at = self._readers.submit(read), time.monotonic()
        if kept.reading is None and kept.task is not None:
            left = kept.tried_at + self._patience_s - time.monotonic()
            await asyncio.wait([_awaitable(kept.task)], timeout=max(0.0, left))
            kept.settle()
        return kept.reading or Reading(error=SLOW)

    async def now(self, read: Callable[[], Any]) -> Reading:
        """Read what must not be old, and keep nothing of it; a request waits for it no longer than for a section."""
        key = object()
        reading = await self.get(key, read, fresh_s=float("inf"))
        kept = self._kept.get(key)
        if kept is not None and kept.task is None:  # one under way is kept, to be counted
            del self._kept[key]
        return reading

    async def act(self, action: Callable[[], T], *, forget: Collection[Hashable] | None = None) -> T:
        """Do something in a thread of its own, and forget what was read: all of it, or what it changes.

        Raises:
            NotDoneYetError: it takes too long to be waited for; it goes on.
        """
        task = _awaitable(self._actors.submit(action))
        try:
            return await asyncio.wait_for(asyncio.shield(task), ACT_S)
        except TimeoutError as error:
            raise NotDoneYetError from error
        finally:
            for key in list(self._kept) if forget is None else forget:
                self._kept.pop(key, None)

    def _entry(self, key: Hashable) -> _Kept:
        entry = self._kept.setdefault(key, _Kept(tried_at=-float("inf")))
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_ENTRIES:
            self._kept.popitem(last=False)
        return entry


def _awaitable(task: Future[T]) -> asyncio.Future[T]:
    """Wrap a thread's task to wait for; that nobody waited to its end is no news."""
    found = asyncio.wrap_future(task)
    found.add_done_callback(lambda done: done.cancelled() or done.exception())
    return found


def said(error: BaseException) -> str:
    """Return one line for people: a user's mistake as it is, anything else without what it may quote of rows."""
    if isinstance(error, StatementTimeoutError):
        log.warning("%s", error)
        return SLOW
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        log.warning("the page's reading failed: %s", type(getattr(error, "orig", None) or error).__name__)
        return SLOW
    log.error("the page's reading failed", exc_info=error)
    return f"this cannot be shown ({type(error).__name__}); the API server's log says more"
