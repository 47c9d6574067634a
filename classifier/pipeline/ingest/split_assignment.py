"""Give new texts their split, by the near-duplicates that are there: part of the ingest's transaction."""

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

_ADOPTED_AT_ONCE = 500  # texts, each perhaps of a megabyte

UnassignedText = tuple[bytes, Split | None, str]
"""A text's fingerprint, the split that is wished for it, and the text."""


def sign_texts(texts: list[UnassignedText]) -> list[NewText]:
    """Return the texts with their bands. It needs no database, so it can be done while a COPY runs."""
    bands, found = minhash_bands.compute_bands([text for _, _, text in texts])
    return [
        NewText(fingerprint, tuple(row) if any_bands else (), wish)
        for (fingerprint, wish, _), row, any_bands in zip(texts, bands.tolist(), found.tolist(), strict=True)
    ]


class TextSigner:
    """Stages the texts that have no split with their bands, so that nothing is left to compute under the lock.

    The texts of one `add` are signed in a thread until the next one, or the end of the `with`, stages them. So
    Postgres can take the rows in meanwhile.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._pool = ThreadPoolExecutor(1)
        self._signing: Future[DataFrame] | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stage what is left, unless an error ends it all."""
        with self._pool:
            if kind is None:
                self._stage_signed()

    def add(self, rows: DataFrame) -> None:
        """Begin with the texts of the rows, and stage those of the rows before."""
        decided = near_duplicate_clusters.decided(self.connection, rows["fingerprint"].tolist())
        # not pandas' isin: it makes NumPy strings of bytes, and those lose the zeros they end in
        undecided = rows[[fingerprint not in decided for fingerprint in rows["fingerprint"]]]
        signing = self._pool.submit(_signed, undecided.drop_duplicates("fingerprint"))
        self._stage_signed()
        self._signing = signing

    def _stage_signed(self) -> None:
        if self._signing and len(rows := self._signing.result()):
            staging.copy_texts(self.connection, rows)


def _signed(rows: DataFrame) -> DataFrame:
    bands, found = minhash_bands.compute_bands(rows["text"].tolist())
    kept = [row.tobytes() if any_bands else None for row, any_bands in zip(bands, found, strict=True)]
    return rows.assign(bands=Series(kept, rows.index, dtype=object))


class SplitAssigner:
    """Decides the splits of texts that have none; `key` and `proportions` are those of new clusters.

    The caller has the lock of `near_duplicates.wait_for_other_ingests`.
    """

    def __init__(self, connection: Connection, key: str, proportions: Proportions) -> None:
        self.connection, self.key, self.proportions = connection, key, proportions

    def decide_staged(self) -> None:
        """Decide the splits of what is staged, after those of texts that came before there were clusters."""
        while texts := near_duplicate_clusters.undecide_unclustered(self.connection, _ADOPTED_AT_ONCE):
            self.place(sign_texts([(fingerprint, split, text or "") for fingerprint, split, text in texts]))
        for step in staging.steps(self.connection, "staged_texts"):
            self.place(self._undecided(staging.texts(self.connection, step)))

    def _undecided(self, rows: Sequence[Any]) -> list[NewText]:
        """Return the texts that have no split, once each; a text's first row has its wish."""
        decided = near_duplicate_clusters.decided(self.connection, [bytes(row.fingerprint) for row in rows])
        first: dict[bytes, Any] = {}
        for row in rows:
            if bytes(row.fingerprint) not in decided:
                first.setdefault(bytes(row.fingerprint), row)
        wishes = self._wishes(list(first.values()))
        return [
            NewText(fingerprint, _bands(row.bands), wish)
            for (fingerprint, row), wish in zip(first.items(), wishes, strict=True)
        ]

    def _wishes(self, rows: Sequence[Any]) -> Iterable[Split | None]:
        """Return the source's own split, else that of the article whose new text it is."""
        keys = [(row.source, row.external_id) for row in rows]
        present = near_duplicate_clusters.article_splits(self.connection, keys)
        return [row.own_split or present.get(key) for row, key in zip(rows, keys, strict=True)]

    def place(self, texts: list[NewText]) -> None:
        """Decide the splits of texts that have none."""
        known = near_duplicate_clusters.homes(self.connection, [band for text in texts for band in text.bands])
        split_of = near_duplicate_clusters.cluster_splits(self.connection, known.values())
        self._write(clusters.assign_clusters(texts, known, split_of, self._deal))

    def _deal(self, fingerprint: bytes) -> Split:
        return splits.assign_split(fingerprint, key=self.key, proportions=self.proportions)

    def _write(self, placed: ClusterAssignments) -> None:
        near_duplicate_clusters.insert_clusters(self.connection, list(placed.clusters), list(placed.clusters.values()))
        members = placed.members
        near_duplicate_clusters.insert_splits(
            self.connection,
            [one.fingerprint for one in members],
            [one.split for one in members],
            [one.cluster_id for one in members],
        )
        if placed.bridges:
            near_duplicate_clusters.insert_bridges(
                self.connection, [one for one, _ in placed.bridges], [cluster_id for _, cluster_id in placed.bridges]
            )
        if placed.bands:
            near_duplicate_clusters.insert_bands(self.connection, np.array(list(placed.bands.items()), np.int64))


def _bands(kept: bytes | None) -> tuple[int, ...]:
    return tuple(np.frombuffer(kept, np.int64).tolist()) if kept else ()
