"""Forget the near-duplicate signatures of erased texts, in the transaction that deletes their articles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy import Connection

from classifier.ingest import minhash_bands
from classifier.store import erased_texts

_BATCH_SIZE = 500
"""Texts in memory at once."""


def forget_texts(connection: Connection, texts: dict[bytes, str]) -> Counter[str]:
    """Delete splits, clusters and bands of texts that no article has any more; return the number of rows by table.

    `texts` are the erased articles' texts by fingerprint. If a cluster has other texts, only the bands are deleted that
    none of them has. They all stay if one of these texts cannot be read, since no article has it: without its bands, a
    near-duplicate of it could get another split.
    """
    gone = erased_texts.without_article(connection, list(texts))
    if not gone:
        return Counter()
    clusters = erased_texts.clusters_of(connection, sorted(gone))
    rows = Counter(erased_texts.delete_splits(connection, sorted(gone)))
    empty = erased_texts.empty_clusters(connection, clusters)
    rows.update(erased_texts.delete_clusters(connection, empty))
    if shared := sorted(set(clusters) - set(empty)):
        own = _bands([texts[fingerprint] for fingerprint in gone])
        if own and (others := _bands_of(erased_texts.remaining_texts(connection, shared))) is not None:
            rows["cluster_bands"] += erased_texts.delete_bands(connection, own - others, shared)
    return rows


def _bands_of(texts: Iterator[str | None]) -> set[int] | None:
    """Return the bands of all texts, or None if a text is missing."""
    bands: set[int] = set()
    while batch := list(islice(texts, _BATCH_SIZE)):
        if any(text is None for text in batch):
            return None
        bands |= _bands(_strings(batch))
    return bands


def _strings(texts: Iterable[str | None]) -> list[str]:
    return [text for text in texts if text is not None]


def _bands(texts: Sequence[str]) -> set[int]:
    bands, has_bands = minhash_bands.compute_bands(texts)
    return set(bands[has_bands].ravel().tolist())
