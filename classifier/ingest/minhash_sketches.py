"""Decide whether a change of a text is small, by the word shingles that both versions share.

A sketch is the `SIZE` smallest distinct hashes of a text's shingles (Bar-Yossef and others, Counting distinct elements
in a data stream, 2002). Two sketches estimate the Jaccard similarity of the texts: exactly if both together have at
most `SIZE` shingles, otherwise with a standard error of at most 0.022. The sketch of the original text is stored in the
database and compared with each version, because many small changes may make another text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from classifier.ingest import shingles

SIZE = 512
"""Hashes in a sketch, which has 4 KB."""

SAME_CONTENT = 0.7
"""The minimum similarity of a small change: the threshold usually quoted for the bands of `minhash_bands`.

It allows one changed word in a text of 19 words, or 6 % changed words in a long text. In a shorter text nearly every
word matters.
"""

_STORED = np.dtype("<u8")


def compute_sketches(texts: Sequence[str]) -> list[bytes]:
    """Return the sketch of each text. A text with fewer than `shingles.WORDS` words has an empty sketch."""
    return [sketch for batch in shingles.batch_texts(texts) for sketch in _compute_batch(batch)]


def _compute_batch(texts: Sequence[str]) -> list[bytes]:
    hashes, counts = shingles.hash_shingles(texts)
    return [np.unique(part)[:SIZE].astype(_STORED).tobytes() for part in np.split(hashes, np.cumsum(counts)[:-1])]


def similarity(first: bytes, second: bytes) -> float:
    """Return an estimate of the Jaccard similarity of two texts from their sketches; 0 if both are empty."""
    both = np.concatenate([np.frombuffer(first, _STORED), np.frombuffer(second, _STORED)])
    if not len(both):
        return 0.0
    both.sort()
    is_shared = np.concatenate([[False], both[1:] == both[:-1]])  # a hash occurs at most once in each sketch
    distinct = np.cumsum(~is_shared)
    smallest = distinct <= SIZE
    return float(is_shared[smallest].sum() / distinct[smallest][-1])


def is_small_change(first: bytes, second: bytes) -> bool:
    """Return whether an annotation of the first text still holds for the second."""
    return similarity(first, second) >= SAME_CONTENT
