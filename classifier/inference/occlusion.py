"""How a network's answer changes if a part of the text is hidden from it (Zeiler & Fergus, 2014; Li et al., 2016).

A hidden word's pieces are replaced by [MASK], which hid pieces in the encoder's pretraining too. So every other piece
keeps its position, and the text its length, bucket and chunks: only the hidden word differs. If words were left out,
all later pieces would move, and the change would be partly that of the positions.

The linear classifier of an ensemble keeps the scores of the complete text meanwhile, because its own part is exact.

A long text is examined from coarse to fine: first blocks of words, then the parts of the blocks that matter most.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities, TaskKind
from classifier.inference.labeller import Labeller
from classifier.model import words as words_of_texts
from classifier.model.linear import Scores
from classifier.model.sigmoid import logit
from classifier.model.text_chunking import ChunkWeights
from classifier.model.words import Spans

ROUND = 64
"""Blocks that are hidden, one after the other, before the next choice of what to examine more closely."""

PARTS = 8
"""Parts into which a block is divided. Four rounds reach the words of the longest text that a model can read."""

MIN_RUNS = 16
"""Blocks that are examined even if that takes longer than it should."""

_SMALLEST = np.finfo(np.float32).smallest_subnormal  # replaces 0, which has no logarithm

Group = tuple[int, ...]
"""The model's columns of one category; several if categories of a single-label model were merged since."""

Block = tuple[int, int]
"""The first word of a block and the one after its last, among the words that the network reads."""


@dataclass(frozen=True, slots=True, eq=False)
class Occlusion:
    """By how much the log-odds fall if words are hidden.

    Attributes:
        falls: The fall for each word, shape (words, groups); in a block that was not divided, its share of the
            block's. 0 for a word that the network does not read.
        is_shared: Whether a word has only a share of its block's fall.
        is_read: Whether the network reads the word.
        runs: Number of texts with hidden words that were computed.
    """

    falls: NDArray[np.float64]
    is_shared: NDArray[np.bool_]
    is_read: NDArray[np.bool_]
    runs: int


@dataclass(frozen=True, slots=True, eq=False)
class Occluder:
    """A tokenized text whose words can be hidden.

    Attributes:
        text: The text.
        spans: Its words.
        pieces: The ids of each chunk.
        words: The word of each piece of each chunk; -1 for a special piece.
        weights: The chunks' weights.
        scores: The scores of an ensemble's linear classifier for the complete text.
        chunks: The network's probabilities for each chunk of the complete text.
        probabilities: The calibrated probabilities of the complete text.
    """

    labeller: Labeller
    text: str
    spans: Spans
    pieces: tuple[NDArray[np.int32], ...]
    words: tuple[NDArray[np.int64], ...]
    weights: ChunkWeights
    scores: Scores | None
    chunks: Probabilities
    probabilities: Probabilities

    @classmethod
    def of(cls, labeller: Labeller, text: str) -> Occluder:
        """Find the words of a text, tokenize it, and compute its probabilities, whose bits are those of labelling."""
        words = words_of_texts.find_words(text)
        located = labeller.tokenization.located_chunks(text)
        owners = np.zeros(len(located.pieces), dtype=np.int64)
        scores = labeller.ensemble.linear.scores([text]) if labeller.ensemble else None
        chunks = labeller.run_batches(labeller.make_batches(located.pieces), len(located.pieces))
        probabilities = labeller.combine(chunks, owners, located.weights, scores)[0]
        words_of_pieces = tuple(_words_of(spans, words) for spans in located.spans)
        return cls(
            labeller, text, words, located.pieces, words_of_pieces, located.weights, scores, chunks, probabilities
        )

    def occlude(self, groups: Sequence[Group], *, max_runs: int) -> Occlusion:
        """Return how the log-odds of the categories in these columns fall for each word."""
        read, count = np.unique(np.concatenate(self._words_read())), len(self.spans)
        falls, is_shared = np.zeros((count, len(groups))), np.zeros(count, dtype=np.bool_)
        results, runs = self._examine(read, groups, max_runs)
        for (first, end), fall in results.items():
            falls[read[first:end]] = fall / (end - first)
            is_shared[read[first:end]] = end - first > 1
        is_read = np.zeros(count, dtype=np.bool_)
        is_read[read] = True
        return Occlusion(falls, is_shared, is_read, runs)

    def runs_within(self, seconds: float, max_runs: int) -> int:
        """Return how many texts can be computed in a time, at least `MIN_RUNS` and at most `max_runs`.

        A batch of the longest chunk is timed. The engine prepares each shape of a batch once, so the first is not. To
        hide a word that is in several chunks, each of these is computed.
        """
        longest = max(self.pieces, key=len)
        width = next(width for width in self.labeller.widths if width >= len(longest))
        rows = self.labeller.sizes.rows(width)
        batches = list(self.labeller.make_batches([longest] * rows))
        self.labeller.run_batches(batches, rows)
        began = time.perf_counter()
        self.labeller.run_batches(batches, rows)
        read = self._words_read()
        chunks_per_word = sum(map(len, read)) / max(1, len(np.unique(np.concatenate(read))))
        of_one = (time.perf_counter() - began) / rows * max(1.0, chunks_per_word)
        return min(max_runs, max(MIN_RUNS, int(seconds / max(of_one, 1e-9))))

    def _words_read(self) -> list[NDArray[np.int64]]:
        """Return the words of each chunk."""
        return [np.unique(words[words >= 0]) for words in self.words]

    def _examine(
        self, read: NDArray[np.int64], groups: Sequence[Group], max_runs: int
    ) -> tuple[dict[Block, NDArray[np.float64]], int]:
        """Return the fall of each block, and the number of texts that were computed: at most `max_runs`."""
        complete = log_odds(self.probabilities[None], groups, self.labeller.kind)[0]
        pending = _divide((0, len(read)), len(read) if len(read) <= max_runs else min(ROUND, max_runs))
        falls: dict[Block, NDArray[np.float64]] = {}
        runs = 0
        while pending:
            for start in range(0, len(pending), ROUND):
                blocks = pending[start : start + ROUND]
                hidden = [(read[first], read[end - 1] + 1) for first, end in blocks]
                falls |= dict(zip(blocks, complete - self._log_odds_without(hidden, groups), strict=True))
            runs += len(pending)
            pending = _choose(falls, min(ROUND, max_runs - runs))
        return falls, runs

    def _log_odds_without(self, hidden: Sequence[Block], groups: Sequence[Group]) -> NDArray[np.float64]:
        """Return the log-odds of the text without each of these ranges of words; only changed chunks are computed."""
        mask_id = self.labeller.tokenization.mask_id
        replacement = self.labeller.tokenization.unknown_id if mask_id is None else mask_id
        pieces: list[NDArray[np.int32]] = []
        positions: list[tuple[int, int]] = []
        for row, (first, end) in enumerate(hidden):
            for chunk, words in enumerate(self.words):
                if (is_hidden := (words >= first) & (words < end)).any():
                    pieces.append(np.where(is_hidden, np.int32(replacement), self.pieces[chunk]))
                    positions.append((row, chunk))
        chunks = np.repeat(self.chunks[None], len(hidden), axis=0)
        rows, changed = np.array(positions).T
        chunks[rows, changed] = self.labeller.run_batches(self.labeller.make_batches(pieces), len(pieces))
        owners = np.repeat(np.arange(len(hidden)), len(self.pieces))
        scores = None if self.scores is None else np.repeat(self.scores, len(hidden), axis=0)
        probabilities = self.labeller.combine(
            chunks.reshape(len(owners), -1), owners, np.tile(self.weights, len(hidden)), scores
        )
        return log_odds(probabilities, groups, self.labeller.kind)


def log_odds(probabilities: Probabilities, groups: Sequence[Group], kind: TaskKind) -> NDArray[np.float64]:
    """Return the logarithms of p / (1 - p) of the categories in these columns, shape (texts, groups).

    Of a single-label model, p is the sum of a group's probabilities, and 1 - p that of the others, which are exact even
    if p rounds to 1. Of a multi-label model, each group is one column.
    """
    if kind == "multi":
        return logit(probabilities[:, [column for (column,) in groups]])
    double = probabilities.astype(np.float64)
    own = np.stack([double[:, group].sum(axis=1) for group in groups], axis=1)
    others = np.stack([np.delete(double, group, axis=1).sum(axis=1) for group in groups], axis=1)
    return np.asarray(np.log(np.maximum(own, _SMALLEST)) - np.log(np.maximum(others, _SMALLEST)))


def _words_of(spans: NDArray[np.int64], words: Spans) -> NDArray[np.int64]:
    """Return the first word of each piece; -1 for a piece without a character of a word.

    The spans of some tokenizers begin with the white space before a word.
    """
    if not len(words):
        return np.full(len(spans), -1, dtype=np.int64)
    positions = np.searchsorted(words[:, 1], spans[:, 0], side="right")
    starts = np.append(words[:, 0], np.iinfo(np.int64).max)[positions]
    return np.asarray(np.where(starts < spans[:, 1], positions, -1))


def _choose(falls: dict[Block, NDArray[np.float64]], room: int) -> list[Block]:
    """Take the blocks that matter most out of the falls, and return their parts: at most `room`."""
    order = sorted((block for block in falls if block[1] - block[0] > 1), key=lambda block: -np.abs(falls[block]).max())
    chosen: list[Block] = []
    for block in order:
        parts = _divide(block, PARTS)
        if len(chosen) + len(parts) > room:
            break
        del falls[block]
        chosen += parts
    return chosen


def _divide(block: Block, parts: int) -> list[Block]:
    """Return up to `parts` blocks of about equal length."""
    first, end = block
    bounds = np.unique(np.linspace(first, end, min(parts, end - first) + 1).astype(int)).tolist()
    return list(pairwise(bounds))
