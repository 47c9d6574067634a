"""Clusters of near-duplicate texts, which share a split. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from classifier import advisory_locks
from classifier.articles import Split
from classifier.exceptions import SourceUnavailableError
from classifier.store import copy
from classifier.store.queries import query

_MAX_APPLICATION_NAME = 63  # bytes; Postgres truncates longer names
_IDS_PER_STATEMENT = 10_000

MAX_WAIT_S = 30 * 60
"""How long an ingest waits for other ingests: half the time limit of an Airflow task."""

_LOCK_NOT_AVAILABLE = "55P03"


def wait_for_other_ingests(connection: Connection, name: str, *, max_wait_s: float = MAX_WAIT_S) -> None:
    """Lock the deciding of splits until the transaction ends.

    Otherwise, two ingests at once could give near-duplicates different splits. Ingests that wait name this one by
    `name` in their error.

    Raises:
        SourceUnavailableError: another ingest has held the lock for longer than `max_wait_s`.
    """
    previous = connection.execute(query("show_timeouts")).mappings().one()
    limits = {"statement_timeout": "0", "lock_timeout": f"{round(max_wait_s * 1000)}ms"}
    _set(connection, application_name=f"ingest of {name}"[:_MAX_APPLICATION_NAME])
    try:
        with connection.begin_nested():  # without a savepoint, a timeout would abort the whole transaction
            _set(connection, **limits)
            connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.SPLITS)))
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise SourceUnavailableError(_still_merging(connection, name, max_wait_s)) from error
    _set(connection, **previous)


def _set(connection: Connection, **settings: str) -> None:
    """Set Postgres parameters until the transaction ends."""
    connection.execute(select(*(func.set_config(setting, value, True) for setting, value in settings.items())))


def _still_merging(connection: Connection, name: str, max_wait_s: float) -> str:
    holder = connection.execute(query("split_lock_holder"), {"key": advisory_locks.SPLITS}).first()
    other = "another ingest"
    if holder is not None:
        other = f"{holder.application_name or other} (process {holder.pid} of the database server)"
    return f"{name}: {other} has been merging for more than {max_wait_s:g} s; retry after it has ended, or stop it"


def fingerprints_with_split(connection: Connection, fingerprints: Sequence[bytes]) -> set[bytes]:
    """Return those of the fingerprints whose texts have a split."""
    rows = connection.execute(query("fingerprints_with_split"), {"fingerprints": list(fingerprints)})
    return {bytes(fingerprint) for (fingerprint,) in rows}


def article_splits(connection: Connection, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Split]:
    """Return the splits of existing articles by source and external id."""
    values = {"sources": [source for source, _ in keys], "external_ids": [external_id for _, external_id in keys]}
    rows = connection.execute(query("article_splits"), values)
    return {(source, external_id): split for source, external_id, split in rows}


def clusters_of_bands(connection: Connection, bands: Iterable[int]) -> dict[int, int]:
    """Return the clusters of known bands."""
    # One string is faster: psycopg2 would adapt each number.
    rows = connection.execute(query("clusters_of_bands"), {"bands": f"{{{','.join(map(str, bands))}}}"})
    return {band: cluster_id for band, cluster_id in rows}  # noqa: C416 - dict() would treat the result as a mapping


def cluster_splits(connection: Connection, ids: Iterable[int]) -> dict[int, Split]:
    """Return the splits of clusters."""
    rows = connection.execute(query("cluster_splits"), {"ids": list(set(ids))})
    return {cluster_id: split for cluster_id, split in rows}  # noqa: C416


def take_unclustered_splits(connection: Connection, size: int) -> list[tuple[bytes, Split, str | None]]:
    """Delete up to `size` splits of texts without a cluster, and return their fingerprint, split and text.

    The text is None if no article has it any more.
    """
    rows = connection.execute(query("take_unclustered_splits"), {"size": size})
    return [(bytes(fingerprint), split, text) for fingerprint, split, text in rows]


def insert_clusters(connection: Connection, ids: list[int], splits: list[Split]) -> None:
    """Insert clusters with their splits."""
    connection.execute(query("insert_clusters"), {"ids": ids, "splits": splits})


def insert_splits(
    connection: Connection, fingerprints: list[bytes], splits: list[Split], cluster_ids: list[int]
) -> None:
    """Insert the splits of texts that have none."""
    values = {"fingerprints": fingerprints, "splits": splits, "cluster_ids": cluster_ids}
    connection.execute(query("insert_splits"), values)


def insert_cluster_bridges(connection: Connection, fingerprints: list[bytes], cluster_ids: list[int]) -> None:
    """Insert the further clusters of texts that are near texts of several clusters."""
    connection.execute(query("insert_cluster_bridges"), {"fingerprints": fingerprints, "cluster_ids": cluster_ids})


def insert_bands(connection: Connection, bands: NDArray[np.int64]) -> None:
    """Insert new bands, each with its cluster; shape (bands, 2)."""
    # In the order of the index, so that each of its blocks is written once.
    copy.copy(connection, "copy_bands", copy.bigints_binary(bands[np.argsort(bands[:, 0])]))


def clusters_of_articles(connection: Connection, ids: Sequence[int]) -> Iterator[tuple[int, bytes, int | None]]:
    """Yield the id, fingerprint and cluster of each article; once for each cluster if its text is in several."""
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        batch = list(ids[start : start + _IDS_PER_STATEMENT])
        rows = connection.execute(query("clusters_of_articles"), {"ids": batch})
        yield from ((row.id, bytes(row.fingerprint), row.cluster_id) for row in rows)


def articles_near(connection: Connection, ids: Sequence[int], fingerprints: AbstractSet[bytes]) -> set[int]:
    """Return those of the articles that share a fingerprint or a cluster with one of the texts."""
    rows = list(clusters_of_articles(connection, ids))
    clusters = sorted({cluster_id for _, _, cluster_id in rows if cluster_id is not None})
    near: set[int | None] = set()
    for first in range(0, len(clusters), _IDS_PER_STATEMENT):
        batch = clusters[first : first + _IDS_PER_STATEMENT]
        members = connection.execute(query("texts_of_clusters"), {"ids": batch})
        near.update(row.cluster_id for row in members if bytes(row.fingerprint) in fingerprints)
    return {id_ for id_, fingerprint, cluster_id in rows if cluster_id in near or fingerprint in fingerprints}


def unchanged_fingerprints(connection: Connection, ids: Sequence[int], hashes: Sequence[bytes]) -> set[bytes]:
    """Return the fingerprints of the articles whose texts still have these hashes."""
    result: set[bytes] = set()
    for first in range(0, len(ids), _IDS_PER_STATEMENT):
        batch = slice(first, first + _IDS_PER_STATEMENT)
        values = {"ids": list(ids[batch]), "hashes": list(hashes[batch])}
        result.update(bytes(row.fingerprint) for row in connection.execute(query("unchanged_fingerprints"), values))
    return result
