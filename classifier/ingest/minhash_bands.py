"""Find near-duplicates by locality-sensitive hashing: two texts that share a band are near-duplicates.

A MinHash signature of 128 numbers is cut into 16 bands of 8. Two texts whose shingles have a Jaccard
similarity J share a band with probability 1 - (1 - J**8)**16 (Leskovec, Rajaraman and Ullman, Mining of
Massive Datasets, section 3.4): 0.999 at 0.9, 0.95 at 0.8, one half at 0.57, 0.06 at 0.5, 0.001 at 0.3. The
threshold usually quoted, (1/16)**(1/8), is 0.71. What it finds is in docs/explanation/splits-and-near-duplicates.md.

The bands are stored in the database, so neither the numbers here nor rensa's algorithm may change: otherwise new texts
would silently match no stored text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from classifier.ingest import shingles

Bands = NDArray[np.int64]
"""Hashes of the bands, as Postgres's bigint. Shape (texts, `BANDS`)."""

BANDS = 16
ROWS = 8
ALGORITHM = 2
"""The version of rensa's R-MinHash that made the stored bands."""

_SEED = 1
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)


def compute_bands(texts: Sequence[str]) -> tuple[Bands, NDArray[np.bool_]]:
    """Return the texts' bands, and which texts have bands: those with at least `shingles.WORDS` words."""
    parts = [_compute_batch(batch) for batch in shingles.batch_texts(texts)]
    if not parts:
        return np.zeros((0, BANDS), np.int64), np.zeros(0, np.bool_)
    return np.concatenate([part for part, _ in parts]), np.concatenate([has_bands for _, has_bands in parts])


def _compute_batch(texts: Sequence[str]) -> tuple[Bands, NDArray[np.bool_]]:
    assert RMinHash.ALGORITHM_VERSION == ALGORITHM, (
        "this version of rensa makes signatures that differ from those in the database"
    )
    hashes, counts = shingles.hash_shingles(texts)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, BANDS * ROWS, _SEED)
    signatures = np.array(matrix.to_rows(), np.uint64).reshape(len(texts), BANDS, ROWS)
    # the hash starts with the band's number, because equal values in different bands mean nothing
    total = np.tile(np.arange(1, BANDS + 1, dtype=np.uint64), (len(texts), 1))
    for row in range(ROWS):
        total = (total ^ signatures[:, :, row]) * _MULTIPLIER
        total ^= total >> _HALF
    return total.view(np.int64), counts > 0
