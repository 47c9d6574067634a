"""Tell a small change of a text from another text, by the word shingles that both versions have.

A sketch is the `SIZE` smallest distinct hashes of a text's shingles (Bar-Yossef and others, Counting distinct
elements in a data stream, 2002). Two sketches estimate the Jaccard similarity of the texts: exactly where both
together have no more than `SIZE` shingles, else with a standard error of at most 0.022. The sketch is kept in the
database, because many small changes may make another text: each is compared with the text at the beginning.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifier.ingest import shingles

SIZE = 512
"""Hashes in a sketch: 4 KB."""

SAME_CONTENT = 0.7
"""The similarity from which a change is small: the threshold usually quoted for the bands of `signatures`.

One changed word in a text of 19 words, or 6 % of the words of a long text. A shorter text has hardly a word that
does not matter.
"""

_STORED = np.dtype("<u8")


def compute_sketches(texts: Sequence[str]) -> list[bytes]:
    """Return the sketch of each text; that of a text of fewer than `shingles.WORDS` words is empty."""
    return [sketch for batch in shingles.batch_texts(texts) for sketch in _sketches(batch)]


def _sketches(texts: Sequence[str]) -> list[bytes]:
    hashes, counts = shingles.hash_shingles(texts)
    return [np.unique(part)[:SIZE].astype(_STORED).tobytes() for part in np.split(hashes, np.cumsum(counts)[:-1])]


def similarity(first: bytes, second: bytes) -> float:
    """Return about the Jaccard similarity of two texts' shingles, from their sketches; 0 where neither has any."""
    both = np.concatenate([np.frombuffer(first, _STORED), np.frombuffer(second, _STORED)])
    if not len(both):
        return 0.0
    both.sort()
    again = np.concatenate([[False], both[1:] == both[:-1]])  # within a sketch no hash comes twice
    distinct = np.cumsum(~again)
    smallest = distinct <= SIZE
    return float(again[smallest].sum() / distinct[smallest][-1])


def is_small_change(first: bytes, second: bytes) -> bool:
    """Return whether what was said of the first text may still be said of the second."""
    return similarity(first, second) >= SAME_CONTENT
