"""Label a page of texts so that each result depends on its own text alone.

The order in which a processor adds up the numbers of a row depends on the shape of the batch. So that
the same text gets the same bits whoever its neighbours are, its batch has a shape that only the text
decides: its length rounded up to a bucket, and the bucket's fixed number of rows. The last batch of a bucket may
have fewer where `batch_sizes` found that this does not change a bit; rows that no text fills hold padding.
Where the model reads long articles in chunks, the same holds for each chunk, and an article's are pooled from
them alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.articles import PaddingMask, Probabilities, TokenIds
from classifier.inference import batch_sizes
from classifier.inference.batch_sizes import BatchSizes
from classifier.inference.engines import InferenceEngine
from classifier.model import temperature_scaling, text_chunking
from classifier.model.ensemble import Ensemble
from classifier.model.fine_tuned import FineTunedModel
from classifier.model.linear import Scores
from classifier.model.slices import slices
from classifier.model.text_chunking import ChunkWeights, Owners
from classifier.model.tokenization import Tokenization, pad
from classifier.model.word_pieces import Pieces, lengths_of

BUCKETS = (*range(16, 257, 16), *range(288, 513, 32))
"""Widths in word pieces; the model's own maximum takes the place of those beyond it.

Steps of 8 would pad less, but OpenVINO's bfloat16 kernels take 15 % longer a piece at odd multiples of
8, and 5 % at odd multiples of 16 beyond 256: they multiply blocks of 16 by 32 (22 M parameters, one core).
"""


PAGE_CHARACTERS = 32 * 2**20
"""Of the texts that are prepared together."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Chunks of one bucket; `rows` are their positions among the page's."""

    tokens: TokenIds
    mask: PaddingMask
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A tokenised page: each distinct text stands once in `batches`, in one chunk or several.

    `owners` leads from each chunk to its row among the distinct texts, `positions` from each text, in the order
    given, to it; `weights` say how much each chunk counts. `scores` are an ensemble's linear ones, shape
    (distinct texts, categories).
    """

    batches: tuple[Batch, ...]
    positions: NDArray[np.int64]
    owners: Owners
    weights: ChunkWeights
    scores: Scores | None = None


@dataclass(frozen=True, slots=True)
class Labeller:
    """Turns texts into probabilities.

    `prepare` may run in one thread, for the next page, while `run` is in another one, for this page:
    both leave Python's lock, but for an ensemble's counting of words.
    """

    tokenization: Tokenization
    engine: InferenceEngine
    categories: tuple[str, ...]
    sizes: BatchSizes = batch_sizes.COMMON
    temperature: float = temperature_scaling.NONE
    ensemble: Ensemble | None = None

    @classmethod
    def of(cls, model: FineTunedModel, engine: InferenceEngine, *, home: Path | None = None) -> Labeller:
        """Return a labeller for a model; `engine` must hold the same model's weights.

        `home` is the folder of the machine's measured batch sizes; if it is None, a common size is used. The labeller
        does not keep the model's weights.
        """
        labeller = cls(
            model.tokenization, engine, model.categories, temperature=model.temperature, ensemble=model.ensemble
        )
        if home is None:
            return labeller
        return replace(labeller, sizes=batch_sizes.of_machine(home, engine, labeller.widths))

    @property
    def engine_name(self) -> str:
        """The engine and its dtype, for reports: "openvino bf16"."""
        return f"{self.engine.name} {self.engine.dtype}"

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths of the model's buckets."""
        longest = self.tokenization.max_length
        return (*(width for width in BUCKETS if width < longest), longest)

    def probabilities(self, texts: Iterable[str]) -> Probabilities:
        """Return each text's probabilities, in the order given: (texts, categories).

        However many there are, a bounded number of characters is in memory, and the result is the same.
        """
        parts = [self.run(self.prepare(some)) for some in slices(texts, PAGE_CHARACTERS, of_each=1024)]
        return np.concatenate(parts) if parts else self.run(self.prepare([]))

    def prepare(self, texts: Sequence[str]) -> Prepared:
        """Tokenise a page and put its distinct texts into batches."""
        rows: dict[str, int] = {}
        positions = np.fromiter((rows.setdefault(text, len(rows)) for text in texts), np.int64, count=len(texts))
        chunks = self.tokenization.chunks(list(rows))
        scores = self.ensemble.linear.scores(list(rows)) if self.ensemble and rows else None
        return Prepared(tuple(self._batches(chunks.pieces)), positions, chunks.owners, chunks.weights, scores)

    def run(self, prepared: Prepared) -> Probabilities:
        """Return the probabilities of a prepared page at the temperature, in the order of its texts.

        Raises:
            FloatingPointError: some of them are not a number, or infinite.
        """
        chunks = np.empty((len(prepared.owners), len(self.categories)), dtype=np.float32)
        for batch in prepared.batches:
            chunks[batch.rows] = self.engine.probabilities(batch.tokens, batch.mask)[: len(batch.rows)]
        distinct = text_chunking.pool(chunks, prepared.owners, prepared.weights)
        if self.ensemble and prepared.scores is not None:
            distinct = self.ensemble.weights.apply(distinct, prepared.scores)
        if broken := len(distinct) - int(np.isfinite(distinct).all(axis=1).sum()):
            raise FloatingPointError(
                f"{broken} of {len(distinct)} distinct texts have probabilities that are no number"
            )
        return temperature_scaling.apply(distinct, self.temperature)[prepared.positions]

    def _batches(self, pieces: Pieces) -> Iterator[Batch]:
        for width, rows in sorted(self._by_bucket(pieces).items()):
            size = self.sizes.rows(width)
            for start in range(0, len(rows), size):
                chosen = rows[start : start + size]
                count = self.sizes.rows_for(width, len(chosen))
                tokens, mask = pad([pieces[row] for row in chosen], width, count)
                yield Batch(tokens, mask, np.array(chosen, dtype=np.int64))

    def _by_bucket(self, pieces: Pieces) -> dict[int, list[int]]:
        """Return the rows of each bucket, in the page's order."""
        buckets, rows = self.widths, defaultdict(list)
        for row, bucket in enumerate(np.searchsorted(buckets, lengths_of(pieces))):
            rows[buckets[bucket]].append(row)
        return rows
