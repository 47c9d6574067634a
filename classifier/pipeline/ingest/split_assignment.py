"""Assign new texts to splits by their stored near-duplicates, in the transaction of the ingest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np
from pandas import DataFrame, Series
from sqlalchemy import Connection

from classifier.articles import Split
from classifier.ingest import clusters, minhash_bands, splits
from classifier.ingest.clusters import ClusterAssignments, NewText
from classifier.ingest.splits import Proportions
from classifier.store import near_duplicate_clusters, staging

_BATCH_SIZE = 500
"""Texts in memory at once, each perhaps of a megabyte."""

UnassignedText = tuple[bytes, Split | None, str]
"""A text's fingerprint, its requested split, and the text."""


def sign_texts(texts: list[UnassignedText]) -> list[NewText]:
    """Return the texts with their bands. No database is needed, so this can run during a COPY."""
    bands, has_bands = minhash_bands.compute_bands([text for _, _, text in texts])
    return [
        NewText(fingerprint, tuple(row) if any_bands else (), requested_split)
        for (fingerprint, requested_split, _), row, any_bands in zip(
            texts, bands.tolist(), has_bands.tolist(), strict=True
        )
    ]


class TextSigner:
    """Stages the texts without a split, with their bands, so that nothing is left to compute under the lock.

    A thread signs the texts of one `add` while Postgres takes the rows. The next `add`, or the end of the `with`
    statement, stages them.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._pool = ThreadPoolExecutor(1)
        self._signing: Future[DataFrame] | None = None

    def __enter__(self) -> Self:
        """Return the signer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stage the last texts, unless there was an error."""
        with self._pool:
            if kind is None:
                self._stage_signed()

    def add(self, rows: DataFrame) -> None:
        """Start to sign the texts of the rows, and stage the texts of the last call."""
        decided = near_duplicate_clusters.fingerprints_with_split(self.connection, rows["fingerprint"].tolist())
        # not pandas' isin: it makes NumPy strings of bytes, which lose the zeros at their end
        undecided = rows[[fingerprint not in decided for fingerprint in rows["fingerprint"]]]
        signing = self._pool.submit(_sign_rows, undecided.drop_duplicates("fingerprint"))
        self._stage_signed()
        self._signing = signing

    def _stage_signed(self) -> None:
        if self._signing and len(rows := self._signing.result()):
            staging.copy_texts(self.connection, rows)


def _sign_rows(rows: DataFrame) -> DataFrame:
    bands, has_bands = minhash_bands.compute_bands(rows["text"].tolist())
    cells = [row.tobytes() if any_bands else None for row, any_bands in zip(bands, has_bands, strict=True)]
    return rows.assign(bands=Series(cells, rows.index, dtype=object))


class SplitAssigner:
    """Assigns texts to splits; `key` and `proportions` decide the splits of new clusters.

    The caller must hold the lock of `near_duplicate_clusters.wait_for_other_ingests`.
    """

    def __init__(self, connection: Connection, key: str, proportions: Proportions) -> None:
        self.connection, self.key, self.proportions = connection, key, proportions

    def assign_staged(self) -> None:
        """Assign the staged texts, after the stored texts that have a split but no cluster."""
        while texts := near_duplicate_clusters.take_unclustered_splits(self.connection, _BATCH_SIZE):
            self.assign(sign_texts([(fingerprint, split, text or "") for fingerprint, split, text in texts]))
        for step in staging.steps(self.connection, "staged_texts"):
            self.assign(self._unassigned_texts(staging.staged_texts(self.connection, step)))

    def assign(self, texts: list[NewText]) -> None:
        """Assign texts that have no split, and write the splits, clusters and bands."""
        bands = [band for text in texts for band in text.bands]
        stored_bands = near_duplicate_clusters.clusters_of_bands(self.connection, bands)
        stored_splits = near_duplicate_clusters.cluster_splits(self.connection, stored_bands.values())
        self._write(clusters.assign_clusters(texts, stored_bands, stored_splits, self._choose_split))

    def _unassigned_texts(self, rows: Sequence[Any]) -> list[NewText]:
        """Return the texts without a split, each once. The first row with a text decides its requested split."""
        decided = near_duplicate_clusters.fingerprints_with_split(
            self.connection, [bytes(row.fingerprint) for row in rows]
        )
        first: dict[bytes, Any] = {}
        for row in rows:
            if bytes(row.fingerprint) not in decided:
                first.setdefault(bytes(row.fingerprint), row)
        requested = self._requested_splits(list(first.values()))
        return [
            NewText(fingerprint, _parse_bands(row.bands), split)
            for (fingerprint, row), split in zip(first.items(), requested, strict=True)
        ]

    def _requested_splits(self, rows: Sequence[Any]) -> Iterable[Split | None]:
        """Return each row's split from its source, else the split of the article that gets this text."""
        keys = [(row.source, row.external_id) for row in rows]
        stored = near_duplicate_clusters.article_splits(self.connection, keys)
        return [row.own_split or stored.get(key) for row, key in zip(rows, keys, strict=True)]

    def _choose_split(self, fingerprint: bytes) -> Split:
        return splits.assign_split(fingerprint, key=self.key, proportions=self.proportions)

    def _write(self, assignments: ClusterAssignments) -> None:
        new_clusters, members, bridges = assignments.clusters, assignments.members, assignments.bridges
        near_duplicate_clusters.insert_clusters(self.connection, list(new_clusters), list(new_clusters.values()))
        near_duplicate_clusters.insert_splits(
            self.connection,
            [member.fingerprint for member in members],
            [member.split for member in members],
            [member.cluster_id for member in members],
        )
        if bridges:
            near_duplicate_clusters.insert_cluster_bridges(
                self.connection,
                [fingerprint for fingerprint, _ in bridges],
                [cluster_id for _, cluster_id in bridges],
            )
        if assignments.bands:
            near_duplicate_clusters.insert_bands(self.connection, np.array(list(assignments.bands.items()), np.int64))


def _parse_bands(stored: bytes | None) -> tuple[int, ...]:
    return tuple(np.frombuffer(stored, np.int64).tolist()) if stored else ()
