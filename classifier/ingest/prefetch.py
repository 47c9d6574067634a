"""Compute the next item of an iterator while the caller uses the present one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

T = TypeVar("T")

_END = object()


def prefetch_one(items: Iterator[T]) -> Iterator[T]:
    """Yield the items; a thread computes the next item meanwhile.

    This helps if the caller waits for something else, such as the database. An error of an item is raised in its place.
    """
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = pool.submit(next, items, _END)
            yield cast("T", item)
