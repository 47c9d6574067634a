"""Hash the word shingles of texts: every three consecutive words.

NumPy computes the hashes from the bytes of the texts, without a Python object for each word, which is four times as
fast. A word's hash is a polynomial in an odd number modulo 2**64 (Rabin and Karp), computed for all words at once from
prefix sums. The hashes of three words are mixed into one. The database stores bands and sketches of these hashes:
**they must never change**.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

WORDS = 3
"""Words in a shingle. One changed word changes three shingles: 2 % of those of two texts of 300 words."""

_BATCH_CHARACTERS = 2**18  # a few megabytes of arrays, which stay in the processor's cache
_BASE = 0x9E3779B97F4A7C15
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_FACTORS = (np.uint64(3), np.uint64(5), np.uint64(7))  # one for each word of a shingle, so that the order counts

_IN_WORD = bytes(byte >= 128 or chr(byte) in string.digits + string.ascii_letters for byte in range(256))
"""1 for the bytes of words: ASCII letters and digits, and all bytes that are not ASCII."""


def batch_texts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the texts in batches of about the same total length; a very long text is a batch of its own.

    `hash_shingles` needs about 20 bytes of memory for each character of a batch.
    """
    start = size = 0
    for index, text in enumerate(texts):
        if index > start and size + len(text) > _BATCH_CHARACTERS:
            yield texts[start:index]
            start, size = index, 0
        size += len(text)
    if texts:
        yield texts[start:]


def hash_shingles(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the hashes of the shingles, one text after the other, and the number of shingles of each text.

    A text with fewer words than `WORDS` has no shingles. Case, white space and ASCII punctuation make no difference.
    """
    parts = [text.casefold().encode() for text in texts]
    words, starts = _hash_words(b" ".join(parts))
    # the number of words up to the end of each text, and the space after it
    ends = np.searchsorted(starts, np.cumsum([len(part) + 1 for part in parts]))
    counts = np.diff(ends, prepend=0)
    starts_shingle = np.ones(len(words), np.bool_)
    for missing in range(1, WORDS):  # no shingle starts at the last words of a text
        starts_shingle[ends[counts >= missing] - missing] = False
    count = max(len(words) - WORDS + 1, 0)
    total = np.zeros(count, np.uint64)
    for index, factor in enumerate(_FACTORS):
        total += words[index : index + count] * factor
    return _mix(total[starts_shingle[:count]]), np.maximum(counts - WORDS + 1, 0)


def _hash_words(data: bytes) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the hash of each word, and the index of its first byte."""
    data = b" %b " % data
    inside = np.frombuffer(data.translate(_IN_WORD), np.bool_)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    size = len(data)
    powers, inverses = _powers(size.bit_length())
    sums = np.zeros(size + 1, np.uint64)
    np.cumsum(np.frombuffer(data, np.uint8) * powers[:size], out=sums[1:])
    # dividing by the power of its start makes a word's hash independent of its position
    return _mix((sums[ends] - sums[starts]) * inverses[starts]), starts - 1


def _mix(values: Hashes) -> Hashes:
    values ^= values >> _HALF
    values *= _MIX
    values ^= values >> _HALF
    return values


@cache
def _powers(bits: int) -> tuple[Hashes, Hashes]:
    """Return the powers of the base and of its inverse modulo 2**64, enough for 2**bits characters."""
    tables = []
    for factor in (_BASE, pow(_BASE, -1, 2**64)):
        table = np.full(2**bits, factor, np.uint64)
        table[0] = 1
        tables.append(np.cumprod(table, dtype=np.uint64))
    return tables[0], tables[1]
