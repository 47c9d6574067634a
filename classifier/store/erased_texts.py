"""Delete what the database keeps of texts that no article has. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import Connection

from classifier.store.queries import query


def without_article(connection: Connection, fingerprints: Sequence[bytes]) -> set[bytes]:
    """Return those of the texts that no article has."""
    rows = connection.execute(query("texts_without_article"), {"fingerprints": list(fingerprints)})
    return {bytes(fingerprint) for fingerprint in rows.scalars()}


def clusters_of(connection: Connection, fingerprints: Sequence[bytes]) -> list[int]:
    """Return the clusters of near-duplicates that the texts belong to."""
    return list(connection.execute(query("clusters_of_texts"), {"fingerprints": list(fingerprints)}).scalars())


def delete_splits(connection: Connection, fingerprints: Sequence[bytes]) -> dict[str, int]:
    """Delete the splits of texts and their places in clusters; return the number of rows by table."""
    values = {"fingerprints": list(fingerprints)}
    return {
        "splits": connection.execute(query("delete_splits_of_texts"), values).rowcount,
        "cluster_bridges": connection.execute(query("delete_bridges_of_texts"), values).rowcount,
    }


def empty_clusters(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Return those of the clusters that have no text."""
    return list(connection.execute(query("empty_clusters"), {"ids": list(ids)}).scalars())


def delete_clusters(connection: Connection, ids: Sequence[int]) -> dict[str, int]:
    """Delete clusters with their bands; return the number of rows by table."""
    return {
        "clusters": connection.execute(query("delete_clusters"), {"ids": list(ids)}).rowcount,
        "cluster_bands": connection.execute(query("delete_bands_of_clusters"), {"ids": list(ids)}).rowcount,
    }


def remaining_texts(connection: Connection, clusters: Sequence[int]) -> Iterator[str | None]:
    """Yield the texts of clusters; None for a text that no article has any more."""
    rows = connection.execute(
        query("remaining_texts_of_clusters"), {"ids": list(clusters)}, execution_options={"yield_per": 500}
    )
    return (row.text for row in rows)


def delete_bands(connection: Connection, bands: Iterable[int], clusters: Sequence[int]) -> int:
    """Delete bands of clusters, and return their number."""
    values = {"bands": list(bands), "ids": list(clusters)}
    return connection.execute(query("delete_bands"), values).rowcount
