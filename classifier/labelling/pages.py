"""Label a page of texts so that each result depends on its own text alone.

The order in which a processor adds up the numbers of a row depends on the shape of the batch. So that
the same text gets the same bits whoever its neighbours are, its batch has a shape that only the text
decides: its length rounded up to a bucket, and the bucket's fixed number of rows. Rows that no text
fills hold padding, which is the price: half a batch for each bucket in use, on average.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.articles import PaddingMask, Probabilities, TokenIds
from classifier.labelling.engine import Engine
from classifier.model.artefact import Artefact
from classifier.model.tokenization import Pieces, Tokenization, pad

BUCKETS = (32, 64, 96, 128, 160, 192, 256, 320, 384, 448, 512)
"""Widths in word pieces; the model's own maximum takes the place of those beyond it."""

BATCH_TOKENS = 1024
"""Word pieces a batch, padding included: a trade of padding rows against the speed of large batches.

With pages of 256 short articles (log-normal lengths, about 130 pieces), 54 % of what was computed was text
at 4096, 71 % at 2048, 78 % at 1024 and 84 % at 512, where a piece took 1.00, 1.02, 1.07 and 1.13 of the
time (two cores, 22 M parameters, 128 wide). Pages of 1000 are 85 % text at 1024.
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts of one bucket; `rows` are their positions among the page's distinct texts."""

    tokens: TokenIds
    mask: PaddingMask
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A tokenised page: each distinct text stands once in `batches`.

    `positions` leads from each text, in the order given, to its row among the distinct ones.
    """

    batches: tuple[Batch, ...]
    positions: NDArray[np.int64]
    distinct: int


@dataclass(frozen=True, slots=True)
class Labeller:
    """Turns texts into probabilities.

    `prepare` may run in one thread, for the next page, while `run` is in another one, for this page:
    both leave Python's lock.
    """

    tokenization: Tokenization
    engine: Engine
    categories: tuple[str, ...]
    batch_tokens: int = BATCH_TOKENS

    @classmethod
    def of(cls, artefact: Artefact, engine: Engine) -> Labeller:
        """Read the artefact's tokenizer; `engine` holds the same artefact's weights."""
        return cls(artefact.tokenization(), engine, artefact.categories)

    def probabilities(self, texts: Sequence[str]) -> Probabilities:
        """Return each text's probabilities, in the order given: (texts, categories)."""
        return self.run(self.prepare(texts))

    def prepare(self, texts: Sequence[str]) -> Prepared:
        """Tokenise a page and put its distinct texts into batches."""
        rows: dict[str, int] = {}
        positions = np.fromiter((rows.setdefault(text, len(rows)) for text in texts), np.int64, count=len(texts))
        pieces = self.tokenization.pieces(list(rows))
        return Prepared(tuple(self._batches(pieces)), positions, len(rows))

    def run(self, prepared: Prepared) -> Probabilities:
        """Return the probabilities of a prepared page, in the order of its texts."""
        distinct = np.empty((prepared.distinct, len(self.categories)), dtype=np.float32)
        for batch in prepared.batches:
            distinct[batch.rows] = self.engine.probabilities(batch.tokens, batch.mask)[: len(batch.rows)]
        return distinct[prepared.positions]

    def _batches(self, pieces: Pieces) -> Iterator[Batch]:
        for width, rows in sorted(self._by_bucket(pieces).items()):
            size = max(1, self.batch_tokens // width)
            for start in range(0, len(rows), size):
                chosen = rows[start : start + size]
                tokens, mask = pad([pieces[row] for row in chosen], width, size)
                yield Batch(tokens, mask, np.array(chosen, dtype=np.int64))

    def _by_bucket(self, pieces: Pieces) -> dict[int, list[int]]:
        """Return the rows of each bucket, in the page's order."""
        longest = self.tokenization.max_length
        buckets = (*(width for width in BUCKETS if width < longest), longest)
        rows = defaultdict(list)
        for row, ids in enumerate(pieces):
            rows[next(width for width in buckets if width >= len(ids))].append(row)
        return rows
