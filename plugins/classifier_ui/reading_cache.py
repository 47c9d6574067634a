"""Cache what the sections have read, so that a page answers at once even if the database is slow.

The cache has a few reader threads of its own, and never uses the threads of Airflow's API server. Only one thread
reads a section at a time. While a section is read again, requests get its last value if it is recent. A request waits
only for a first or a long overdue reading, and for a limited time. So neither many readers nor a database that hangs
can slow Airflow down.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from classifier.exceptions import StatementTimeoutError, UserError

log = logging.getLogger(__name__)

T = TypeVar("T")

READER_THREADS = 4
ACTION_THREADS = 2

READ_TIMEOUT_S = 3.0
"""How long a request waits for a section that was never read before, or long ago."""

MAX_OVERDUE_S = 30.0
"""How much older than fresh a value may be that is shown while it is read again."""

ACTION_TIMEOUT_S = 60.0
"""How long a request waits for its action to end."""

MAX_ENTRIES = 32
"""Largest number of cached values, and of values that are being read. An evaluation of 1,000 categories takes 3 MB."""

SLOW = "the database does not answer in time; this page retries automatically"


class NotDoneYetError(UserError):
    """This action takes longer than a page waits. It continues; reload the page later."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a section shows: a value, or an error. With both, the value is older than it should be.

    `at` is a time of `time.time`, when the value was read.
    """

    value: Any = None
    error: str | None = None
    at: float = 0.0


@dataclass(slots=True)
class _Entry:
    reading: Reading | None = None
    tried_at: float = 0.0
    task: Future[Any] | None = None

    def is_overdue(self, fresh_s: float) -> bool:
        """Return whether there is no value, or one that is too old to be shown while it is read again."""
        return self.reading is None or time.time() - self.reading.at > fresh_s + MAX_OVERDUE_S

    def collect(self) -> None:
        """Take the result of the reader thread, if it has ended."""
        if self.task is None or not self.task.done():
            return
        task, self.task = self.task, None
        error = task.exception()
        if error is None:
            self.reading = Reading(task.result(), at=time.time())
        else:
            self.reading = replace(self.reading or Reading(), error=describe_error(error))


class Cache:
    """The last reading of each key. Everything except the reading itself runs in the event loop's thread."""

    def __init__(self, *, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="classifier-page")
        self._actors = ThreadPoolExecutor(ACTION_THREADS, thread_name_prefix="classifier-page-acts")

    async def get(self, key: Hashable, read: Callable[[], Any], *, fresh_s: float) -> Reading:
        """Return the cached value if it is younger than `fresh_s`; else read it again.

        Until it is read, the last value is returned: at once if it is at most `MAX_OVERDUE_S` overdue, else after the
        time that a request waits, with an error.
        """
        entry = self._entry(key)
        entry.collect()
        if entry.task is None and time.monotonic() - entry.tried_at >= fresh_s:
            if sum(other.task is not None for other in self._entries.values()) >= MAX_ENTRIES:
                return entry.reading or Reading(error=SLOW)
            context = copy_context()  # the reader thread needs the request's task
            entry.task, entry.tried_at = self._readers.submit(context.run, read), time.monotonic()
        must_wait = entry.is_overdue(fresh_s)
        if must_wait and entry.task is not None:
            seconds_left = entry.tried_at + self._timeout_s - time.monotonic()
            await asyncio.wait([_awaitable(entry.task)], timeout=max(0.0, seconds_left))
            entry.collect()
            if entry.reading is not None and entry.task is not None:
                return replace(entry.reading, error=SLOW)
        return entry.reading or Reading(error=SLOW)

    async def read_now(self, read: Callable[[], Any]) -> Reading:
        """Read a value that must be current, without caching it; a request waits for it as for a section."""
        key = object()
        reading = await self.get(key, read, fresh_s=float("inf"))
        entry = self._entries.get(key)
        if entry is not None and entry.task is None:  # an unfinished reading stays, so that it is counted
            del self._entries[key]
        return reading

    async def act(self, action: Callable[[], T], *, forget: Collection[Hashable] | None = None) -> T:
        """Run an action in a thread of its own, then drop the keys that it changes, or every key.

        A key that is a tuple is dropped if its first element is to be.

        Raises:
            NotDoneYetError: the action exceeds the timeout; it continues.
        """
        task = _awaitable(self._actors.submit(copy_context().run, action))
        try:
            return await asyncio.wait_for(asyncio.shield(task), ACTION_TIMEOUT_S)
        except TimeoutError as error:
            raise NotDoneYetError from error
        finally:
            for key in list(self._entries):
                if forget is None or key in forget or (isinstance(key, tuple) and key[0] in forget):
                    del self._entries[key]

    def _entry(self, key: Hashable) -> _Entry:
        entry = self._entries.setdefault(key, _Entry(tried_at=-float("inf")))
        self._entries.move_to_end(key)
        while len(self._entries) > MAX_ENTRIES:
            self._entries.popitem(last=False)
        return entry


def _awaitable(task: Future[T]) -> asyncio.Future[T]:
    """Return a future for a thread's task; asyncio does not warn if no request waits for its end."""
    future = asyncio.wrap_future(task)
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def describe_error(error: BaseException) -> str:
    """Return one line for users: the message of a user's mistake, and no message that may quote rows."""
    if isinstance(error, StatementTimeoutError):
        log.warning("%s", error)
        return SLOW
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        log.warning("cannot read from the database: %s", type(getattr(error, "orig", None) or error).__name__)
        return SLOW
    log.error("cannot read a section", exc_info=error)
    return f"this cannot be shown ({type(error).__name__}); see the API server's log"
