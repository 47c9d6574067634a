"""Limit the time of each item of an iterator that may hang, such as a database behind a proxy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

T = TypeVar("T")

_END = object()


def iterate_within(
    timeout_s: float, start: Callable[[], Iterator[T]], make_error: Callable[[], Exception]
) -> Iterator[T]:
    """Yield the items of `start()`; raise `make_error()` if an item takes longer than `timeout_s` seconds.

    A thread computes the items. Nothing can interrupt its blocking calls, so after a timeout the thread is abandoned;
    it does not keep the process from ending.
    """
    requests: SimpleQueue[bool] = SimpleQueue()
    results: SimpleQueue[tuple[object, BaseException | None]] = SimpleQueue()
    threading.Thread(target=_compute_items, args=(start, requests, results), daemon=True).start()
    try:
        while True:
            requests.put(True)
            try:
                item, error = results.get(timeout=timeout_s)
            except Empty:
                raise make_error() from None
            if error is not None:
                raise error
            if item is _END:
                return
            yield cast("T", item)
    finally:
        requests.put(False)


def _compute_items(
    start: Callable[[], Iterator[T]],
    requests: SimpleQueue[bool],
    results: SimpleQueue[tuple[object, BaseException | None]],
) -> None:
    """Compute an item for each request, and close the iterator after the last request."""
    items: Iterator[T] | None = None
    while requests.get():
        try:
            items = items or start()
            results.put((next(items, _END), None))
        except BaseException as error:  # noqa: BLE001 - the caller of the iterator raises it
            results.put((None, error))
    if items is not None and hasattr(items, "close"):
        items.close()
