"""Work on the next item while this one is used."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

T = TypeVar("T")

_END = object()


def prefetch_one(items: Iterator[T]) -> Iterator[T]:
    """Yield the items, each while the next is being made in a thread.

    It is worth it where whoever uses them waits for something else, such as the database. An error of
    the next item is raised where that item would be.
    """
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = pool.submit(next, items, _END)
            yield cast("T", item)
