"""Take texts some at a time, so that however many and long they are, a bounded part of them is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def slices(texts: Iterable[str], characters: int, *, of_each: int = 200) -> Iterator[list[str]]:
    """Yield the texts in lists of so many characters at most; one that is longer comes alone.

    A text counts for `of_each` characters beside its own: an empty one takes memory, too.
    """
    some: list[str] = []
    size = 0
    for text in texts:
        if some and size + len(text) > characters:
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text) + of_each
    if some:
        yield some
