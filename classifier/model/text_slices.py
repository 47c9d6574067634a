"""Iterate over texts in slices, so that a bounded number of characters is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def slice_texts(texts: Iterable[str], max_characters: int, *, overhead: int = 200) -> Iterator[list[str]]:
    """Yield the texts in lists of at most `max_characters`; a longer text is a list of its own.

    Each text counts for `overhead` characters in addition to its own, because an empty text takes memory too.
    """
    texts_of_slice: list[str] = []
    size = 0
    for text in texts:
        if texts_of_slice and size + len(text) > max_characters:
            yield texts_of_slice
            texts_of_slice, size = [], 0
        texts_of_slice.append(text)
        size += len(text) + overhead
    if texts_of_slice:
        yield texts_of_slice
