"""Turn a text into the hashes of its word shingles: every three words that follow one another.

All of it is arithmetic on the text's bytes in NumPy, without a Python object a word: joining words into
shingles and hashing the strings took three times as long. A word's hash is a polynomial in an odd number
modulo 2**64 (Rabin and Karp), found for all words at once from prefix sums; then three are mixed to one.
The hashes are kept in the database by way of `signatures`: **they must never change**.
"""

from __future__ import annotations

import string
from functools import cache

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

WORDS = 3
"""Words in a shingle. One changed word touches three shingles: of two texts of 300 words, 2 % of them."""

_BASE = 0x9E3779B97F4A7C15
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)
_PLACES = (np.uint64(3), np.uint64(5), np.uint64(7))  # so that the order of the words counts

_IN_WORD = np.array([byte >= 128 or chr(byte) in string.digits + string.ascii_letters for byte in range(256)])
"""What is part of a word: ASCII letters and digits, and every byte of what is not ASCII."""


def hashes(text: str) -> Hashes:
    """Return the hash of each shingle of the text, in order; none where it has fewer words than `WORDS`.

    Case, white space and ASCII punctuation make no difference.
    """
    words = _words(text.casefold().encode())
    count = max(len(words) - WORDS + 1, 0)
    total = np.zeros(count, np.uint64)
    for index, place in enumerate(_PLACES):
        total += words[index : index + count] * place
    return _mixed(total)


def _words(data: bytes) -> Hashes:
    characters = np.frombuffer(b" %b " % data, np.uint8)
    inside = _IN_WORD[characters]
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    size = len(characters)
    powers, inverses = _powers(size.bit_length())
    sums = np.zeros(size + 1, np.uint64)
    np.cumsum(characters * powers[:size], out=sums[1:])
    # dividing by the power of its start makes a word's hash the same wherever it stands
    return _mixed((sums[ends] - sums[starts]) * inverses[starts])


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
