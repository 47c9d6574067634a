"""Give up on what may never answer: a database that hangs, or a proxy in front of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

T = TypeVar("T")

_END = object()


def iterate_within(seconds: float, start: Callable[[], Iterator[T]], late: Callable[[], Exception]) -> Iterator[T]:
    """Yield what `start()` yields; raise `late()` if an item takes longer than so many seconds.

    The work is done in one thread, whose blocking calls nothing can interrupt: when time is up the thread is left to
    itself, and does not keep the process from ending.
    """
    requests: SimpleQueue[bool] = SimpleQueue()
    results: SimpleQueue[tuple[object, BaseException | None]] = SimpleQueue()
    threading.Thread(target=_work, args=(start, requests, results), daemon=True).start()
    try:
        while True:
            requests.put(True)
            try:
                item, error = results.get(timeout=seconds)
            except Empty:
                raise late() from None
            if error is not None:
                raise error
            if item is _END:
                return
            yield cast("T", item)
    finally:
        requests.put(False)


def _work(
    start: Callable[[], Iterator[T]],
    requests: SimpleQueue[bool],
    results: SimpleQueue[tuple[object, BaseException | None]],
) -> None:
    """Make an item for each request, and close the iterator when no more are wanted."""
    items: Iterator[T] | None = None
    while requests.get():
        try:
            items = items or start()
            results.put((next(items, _END), None))
        except BaseException as error:  # noqa: BLE001 - it is raised where the item is wanted
            results.put((None, error))
    if items is not None and hasattr(items, "close"):
        items.close()
