"""Label a page of texts so that each result depends on its own text alone.

The order in which a processor adds up the numbers of a row depends on the shape of the batch. The same text must get
the same bits whatever texts are labelled with it. So the text alone decides the shape of its batch: its length rounded
up to a bucket, and the bucket's fixed number of rows. Rows without a text hold padding. The last batch of a bucket may
have fewer rows if `batch_sizes` found that this changes no bits.

If the model reads long articles in chunks, the same holds for each chunk, and an article's probabilities are pooled
from its own chunks alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.articles import PaddingMask, Probabilities, TaskKind, TokenIds
from classifier.inference import batch_sizes
from classifier.inference.batch_sizes import BatchSizes
from classifier.inference.engines import InferenceEngine
from classifier.model import temperature_scaling, text_chunking
from classifier.model.ensemble import Ensemble
from classifier.model.fine_tuned import FineTunedModel
from classifier.model.linear import Scores
from classifier.model.text_chunking import ChunkWeights, Owners
from classifier.model.text_slices import slice_texts
from classifier.model.tokenization import Tokenization, pad
from classifier.model.word_pieces import Pieces, lengths_of

BUCKETS = (*range(16, 257, 16), *range(288, 513, 32))
"""Widths in word pieces. The model's own maximum replaces those that are wider.

Steps of 8 would need less padding, but OpenVINO's bfloat16 kernels multiply blocks of 16 by 32: a word piece costs more
at odd multiples of 8, and at odd multiples of 16 beyond 256.
"""

PAGE_CHARACTERS = 32 * 2**20
"""Characters of the texts that are prepared together."""

TEXT_OVERHEAD = 1024
"""Characters that each text of a page counts for in addition to its own, because an empty text takes memory too."""


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Chunks of one bucket; `rows` are their positions among the page's chunks."""

    tokens: TokenIds
    mask: PaddingMask
    rows: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A tokenized page, in which each distinct text is tokenized once.

    Attributes:
        batches: The chunks of the distinct texts.
        positions: For each text, its row among the distinct texts.
        owners: For each chunk, the row of its text among the distinct texts.
        weights: For each chunk, its weight among its text's chunks.
        scores: The scores of an ensemble's linear classifier, shape (distinct texts, categories).
    """

    batches: tuple[TokenBatch, ...]
    positions: NDArray[np.int64]
    owners: Owners
    weights: ChunkWeights
    scores: Scores | None = None


@dataclass(frozen=True, slots=True)
class Labeller:
    """Turns texts into probabilities with an engine that holds the model's weights.

    `kind` is the model's: "multi" if the probability of each category stands alone.

    While `run` computes a page in one thread, `prepare` may tokenize the next page in another. Both release Python's
    global lock, except while an ensemble counts words.
    """

    tokenization: Tokenization
    engine: InferenceEngine
    categories: tuple[str, ...]
    sizes: BatchSizes = batch_sizes.DEFAULT_SIZES
    temperature: float = temperature_scaling.UNCALIBRATED
    ensemble: Ensemble | None = None
    kind: TaskKind = "single"

    @classmethod
    def of(cls, model: FineTunedModel, engine: InferenceEngine, *, home: Path | None = None) -> Labeller:
        """Return a labeller for a model; `engine` must hold the same model's weights.

        `home` is the folder of the machine's measured batch sizes; if it is None, a common size is used. The labeller
        does not keep the model's weights.
        """
        labeller = cls(
            model.tokenization,
            engine,
            model.categories,
            temperature=model.temperature,
            ensemble=model.ensemble,
            kind=model.kind,
        )
        if home is None:
            return labeller
        return replace(labeller, sizes=batch_sizes.read_or_measure(home, engine, labeller.widths))

    @property
    def engine_name(self) -> str:
        """The engine and its dtype, for reports: "openvino bf16"."""
        return f"{self.engine.name} {self.engine.dtype}"

    @property
    def read_title(self) -> bool:
        """Whether the model reads an article's title before its text."""
        return self.tokenization.read_title

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths of the model's buckets, in ascending order."""
        max_length = self.tokenization.max_length
        return (*(width for width in BUCKETS if width < max_length), max_length)

    def probabilities(self, texts: Iterable[str]) -> Probabilities:
        """Return each text's probabilities, in their order: (texts, categories).

        A bounded number of characters is in memory at a time. The pages do not change the result.
        """
        pages = slice_texts(texts, PAGE_CHARACTERS, overhead=TEXT_OVERHEAD)
        probabilities = [self.run(self.prepare(page)) for page in pages]
        return np.concatenate(probabilities) if probabilities else self.run(self.prepare([]))

    def prepare(self, texts: Sequence[str]) -> Prepared:
        """Tokenize a page and put its distinct texts into batches."""
        rows: dict[str, int] = {}
        positions = np.fromiter((rows.setdefault(text, len(rows)) for text in texts), np.int64, count=len(texts))
        chunks = self.tokenization.chunks(list(rows))
        scores = self.ensemble.linear.scores(list(rows)) if self.ensemble and rows else None
        return Prepared(tuple(self.make_batches(chunks.pieces)), positions, chunks.owners, chunks.weights, scores)

    def run(self, prepared: Prepared) -> Probabilities:
        """Return the calibrated probabilities of a prepared page, in the order of its texts.

        Raises:
            FloatingPointError: a probability is NaN or infinite.
        """
        chunks = self.run_batches(prepared.batches, len(prepared.owners))
        return self.combine(chunks, prepared.owners, prepared.weights, prepared.scores)[prepared.positions]

    def run_batches(self, batches: Iterable[TokenBatch], count: int) -> Probabilities:
        """Return the network's probabilities for the `count` chunks of the batches: (chunks, categories)."""
        chunks = np.empty((count, len(self.categories)), dtype=np.float32)
        for batch in batches:
            chunks[batch.rows] = self.engine.probabilities(batch.tokens, batch.mask)[: len(batch.rows)]
        return chunks

    def combine(
        self, chunks: Probabilities, owners: Owners, weights: ChunkWeights, scores: Scores | None
    ) -> Probabilities:
        """Return texts' calibrated probabilities from those of their chunks and the linear classifier's scores.

        Raises:
            FloatingPointError: a probability is NaN or infinite.
        """
        distinct = text_chunking.pool(chunks, owners, weights, kind=self.kind)
        if self.ensemble and scores is not None:
            distinct = self.ensemble.weights.apply(distinct, scores)
        if invalid := len(distinct) - int(np.isfinite(distinct).all(axis=1).sum()):
            raise FloatingPointError(f"{invalid} of {len(distinct)} distinct texts have NaN or infinite probabilities")
        return temperature_scaling.apply_temperature(distinct, self.temperature, kind=self.kind)

    def make_batches(self, pieces: Pieces) -> Iterator[TokenBatch]:
        """Yield the chunks in batches, each of the shape of its bucket."""
        for width, rows in sorted(self._by_bucket(pieces).items()):
            size = self.sizes.rows(width)
            for start in range(0, len(rows), size):
                batch_rows = rows[start : start + size]
                count = self.sizes.rows_for(width, len(batch_rows))
                tokens, mask = pad([pieces[row] for row in batch_rows], width, count)
                yield TokenBatch(tokens, mask, np.array(batch_rows, dtype=np.int64))

    def _by_bucket(self, pieces: Pieces) -> dict[int, list[int]]:
        """Return the chunks' positions by the width of their bucket, in the page's order."""
        buckets, rows = self.widths, defaultdict(list)
        for row, bucket in enumerate(np.searchsorted(buckets, lengths_of(pieces))):
            rows[buckets[bucket]].append(row)
        return rows
