"""Give new texts their split, by the near-duplicates that are there: part of the ingest's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
from pandas import DataFrame
from sqlalchemy import Connection

from classifier.articles import Split
from classifier.ingest import clusters, signatures, splits
from classifier.ingest.clusters import NewText, Placed
from classifier.ingest.splits import Proportions
from classifier.store import near_duplicates

_ADOPTED_AT_ONCE = 500  # texts, each perhaps of a megabyte

Text = tuple[bytes, Split | None, str]
"""A text's fingerprint, the split that is wished for it, and the text."""


def sign(texts: list[Text]) -> list[NewText]:
    """Return the texts with their bands. It needs no database, so it can be done while a COPY runs."""
    bands, found = signatures.bands([text for _, _, text in texts])
    return [
        NewText(fingerprint, tuple(row) if any_bands else (), wish)
        for (fingerprint, wish, _), row, any_bands in zip(texts, bands.tolist(), found.tolist(), strict=True)
    ]


class Dealer:
    """Decides the splits of texts that have none; `key` and `proportions` are those of new clusters.

    The texts of one `add` are signed in a thread until the next one, or the end of the `with`, places
    them. So Postgres can take the rows in meanwhile.
    """

    def __init__(self, connection: Connection, key: str, proportions: Proportions) -> None:
        self.connection, self.key, self.proportions = connection, key, proportions
        self._pool = ThreadPoolExecutor(1)
        self._signing: Future[list[NewText]] | None = None
        self._unplaced: set[bytes] = set()

    def __enter__(self) -> Self:
        """Wait until nobody else decides splits, and place the texts that came before there were clusters."""
        near_duplicates.wait_for_other_ingests(self.connection)
        while texts := near_duplicates.undecide_unclustered(self.connection, _ADOPTED_AT_ONCE):
            self.place(sign([(fingerprint, split, text or "") for fingerprint, split, text in texts]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Place what is left, unless an error ends it all."""
        with self._pool:
            if kind is None:
                self._place_signed()

    def add(self, rows: DataFrame) -> None:
        """Begin with the texts of the rows, and place those of the rows before."""
        undecided = self.undecided(rows)
        signing = self._pool.submit(sign, undecided)
        self._place_signed()
        self._signing, self._unplaced = signing, {fingerprint for fingerprint, _, _ in undecided}

    def _place_signed(self) -> None:
        if self._signing:
            self.place(self._signing.result())

    def undecided(self, rows: DataFrame) -> list[Text]:
        """Return the texts of the rows that have no split, once each; a text's first row has its wish."""
        decided = near_duplicates.decided(self.connection, rows["fingerprint"].tolist()) | self._unplaced
        first: dict[bytes, int] = {}
        # not pandas' isin: it makes NumPy strings of bytes, and those lose the zeros they end in
        for index, fingerprint in enumerate(rows["fingerprint"]):
            if fingerprint not in decided:
                first.setdefault(fingerprint, index)
        new = rows.iloc[list(first.values())]
        return list(zip(first, self._wishes(new), new["text"], strict=True))

    def _wishes(self, rows: DataFrame) -> Iterable[Split | None]:
        """Return the source's own split, else that of the article whose new text it is."""
        keys = list(zip(rows["source"], rows["external_id"], strict=True))
        present = near_duplicates.article_splits(self.connection, keys)
        return [own or present.get(key) for own, key in zip(rows["own_split"], keys, strict=True)]

    def place(self, texts: list[NewText]) -> None:
        """Decide the splits of texts that have none."""
        known = near_duplicates.homes(self.connection, [band for text in texts for band in text.bands])
        split_of = near_duplicates.cluster_splits(self.connection, known.values())
        self._write(clusters.place(texts, known, split_of, self._deal))

    def _deal(self, fingerprint: bytes) -> Split:
        return splits.decide(fingerprint, key=self.key, proportions=self.proportions)

    def _write(self, placed: Placed) -> None:
        near_duplicates.insert_clusters(self.connection, list(placed.clusters), list(placed.clusters.values()))
        members = placed.members
        near_duplicates.insert_splits(
            self.connection,
            [one.fingerprint for one in members],
            [one.split for one in members],
            [one.cluster_id for one in members],
        )
        if placed.bridges:
            near_duplicates.insert_bridges(
                self.connection, [one for one, _ in placed.bridges], [cluster_id for _, cluster_id in placed.bridges]
            )
        if placed.bands:
            near_duplicates.insert_bands(self.connection, np.array(list(placed.bands.items()), np.int64))
