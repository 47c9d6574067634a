"""Give new texts their split, by the near-duplicates that are there: part of the ingest's transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame
from sqlalchemy import Connection

from classifier.articles import Split
from classifier.ingest import clusters, signatures, splits
from classifier.ingest.clusters import NewText, Placed
from classifier.ingest.splits import Proportions
from classifier.store import near_duplicates

_ADOPTED_AT_ONCE = 5000

Text = tuple[bytes, Split | None, str]
"""A text's fingerprint, the split that is wished for it, and the text."""


def sign(texts: list[Text]) -> list[NewText]:
    """Return the texts with their bands. It needs no database, so it can be done while a COPY runs."""
    bands, found = signatures.bands([text for _, _, text in texts])
    return [
        NewText(fingerprint, tuple(row) if any_bands else (), wish)
        for (fingerprint, wish, _), row, any_bands in zip(texts, bands.tolist(), found.tolist(), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Dealer:
    """Decides the splits of texts that have none; `key` and `proportions` are those of new clusters."""

    connection: Connection
    key: str
    proportions: Proportions

    def begin(self) -> None:
        """Wait until nobody else decides splits, and place the texts that came before there were clusters."""
        near_duplicates.wait_for_other_ingests(self.connection)
        while texts := near_duplicates.undecide_unclustered(self.connection, _ADOPTED_AT_ONCE):
            self.place(sign([(fingerprint, split, text or "") for fingerprint, split, text in texts]))

    def undecided(self, rows: DataFrame) -> list[Text]:
        """Return the texts of the rows that have no split, once each; a text's first row has its wish."""
        decided = near_duplicates.decided(self.connection, rows["fingerprint"].tolist())
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
