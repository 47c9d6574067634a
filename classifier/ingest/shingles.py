"""Turn a text into the hashes of its word shingles: every three words that follow one another.

All of it is arithmetic on the texts' bytes in NumPy, without a Python object a word: joining words into
shingles and hashing the strings took four times as long. A word's hash is a polynomial in an odd number
modulo 2**64 (Rabin and Karp), found for all words at once from prefix sums; then three are mixed to one.
The hashes are kept in the database by way of `signatures`: **they must never change**.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

WORDS = 3
"""Words in a shingle. One changed word touches three shingles: of two texts of 300 words, 2 % of them."""

_CHARACTERS_AT_ONCE = 2**18  # a few megabytes on the way, which stay in the processor's cache
_BASE = 0x9E3779B97F4A7C15
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_PLACES = (np.uint64(3), np.uint64(5), np.uint64(7))  # so that the order of the words counts

_IN_WORD = bytes(byte >= 128 or chr(byte) in string.digits + string.ascii_letters for byte in range(256))
"""1 for what is part of a word: ASCII letters and digits, and every byte of what is not ASCII."""


def batch_texts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the texts in batches of about the same length, a very long text alone.

    `hashes` of a batch takes some 20 bytes a character on the way.
    """
    start = size = 0
    for index, text in enumerate(texts):
        if index > start and size + len(text) > _CHARACTERS_AT_ONCE:
            yield texts[start:index]
            start, size = index, 0
        size += len(text)
    if texts:
        yield texts[start:]


def hash_shingles(texts: Sequence[str]) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the hash of each shingle of the texts, one text after the other, and how many each text has.

    A text of fewer words than `WORDS` has none. Case, white space and ASCII punctuation make no difference.
    """
    parts = [text.casefold().encode() for text in texts]
    words, starts = _words(b" ".join(parts))
    # the first byte behind each text and the space that follows it
    ends = np.searchsorted(starts, np.cumsum([len(part) + 1 for part in parts]))
    counts = np.diff(ends, prepend=0)
    whole = np.ones(len(words), np.bool_)
    for missing in range(1, WORDS):  # the shingle that starts at a text's last word, or the one before, is none
        whole[ends[counts >= missing] - missing] = False
    count = max(len(words) - WORDS + 1, 0)
    total = np.zeros(count, np.uint64)
    for index, place in enumerate(_PLACES):
        total += words[index : index + count] * place
    return _mixed(total[whole[:count]]), np.maximum(counts - WORDS + 1, 0)


def _words(data: bytes) -> tuple[Hashes, NDArray[np.int64]]:
    """Return the hash of each word, and where it starts."""
    data = b" %b " % data
    inside = np.frombuffer(data.translate(_IN_WORD), np.bool_)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    size = len(data)
    powers, inverses = _powers(size.bit_length())
    sums = np.zeros(size + 1, np.uint64)
    np.cumsum(np.frombuffer(data, np.uint8) * powers[:size], out=sums[1:])
    # dividing by the power of its start makes a word's hash the same wherever it stands
    return _mixed((sums[ends] - sums[starts]) * inverses[starts]), starts - 1


def _mixed(values: Hashes) -> Hashes:
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
