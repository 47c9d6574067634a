"""Split an article that is longer than the model's input into chunks, and pool the chunks' predictions.

Chunks begin a stride apart and overlap, so a sentence that one chunk cuts in two is complete in the next. An article's
logits are the mean of its chunks' logits, weighted by the chunks' lengths, because the last chunk may have a few words.
Training, evaluation and labelling use the same chunks and the same pooling, and the manifest holds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities, TaskKind
from classifier.exceptions import ArtefactError, SettingsError
from classifier.model.sigmoid import logit, sigmoid
from classifier.model.softmax import softmax

SPECIAL_PIECES = 2
"""Word pieces of a chunk that are not text: DistilBERT's [CLS] and [SEP]."""

MAX_CHUNKS = 64
"""Largest number of chunks of an article."""

Owners = NDArray[np.int64]
"""For each chunk, the position of its article: ascending, without gaps. Shape (chunks,)."""

ChunkWeights = NDArray[np.float64]
"""For each chunk, its weight among its article's chunks: above 0. Shape (chunks,)."""

_SMALLEST = np.finfo(np.float32).tiny  # an engine's softmax may round a probability to 0, which has no logarithm


@dataclass(frozen=True, slots=True)
class Chunking:
    """How an article is split: chunks begin `stride` word pieces apart, and at most `max_chunks` are read.

    The text after the last chunk is cut off, so the longest article costs no more than `max_chunks` short ones.
    """

    stride: int
    max_chunks: int

    def check(self, max_length: int) -> None:
        """Raise an error if chunks of `max_length` word pieces would leave out text between them.

        Raises:
            SettingsError: the stride is longer than a chunk's text, or the number of chunks is out of range.
        """
        max_stride = max_length - SPECIAL_PIECES
        if not 1 <= self.stride <= max_stride:
            raise SettingsError(
                f"stride {self.stride}: must be 1 to {max_stride}, the max length without {SPECIAL_PIECES} special "
                "word pieces"
            )
        if not 1 <= self.max_chunks <= MAX_CHUNKS:
            raise SettingsError(f"max chunks {self.max_chunks}: must be 1 to {MAX_CHUNKS}")

    def overlap(self, max_length: int) -> int:
        """Return the number of word pieces that two neighbouring chunks share."""
        return max_length - SPECIAL_PIECES - self.stride


def weights_of(chunks: Sequence[Sequence[int] | NDArray[np.int32]]) -> ChunkWeights:
    """Return the weights of chunks, which are their lengths in word pieces."""
    return np.array([len(ids) for ids in chunks], dtype=np.float64)


def to_manifest(chunking: Chunking | None) -> dict[str, int] | None:
    """Return the manifest's entry; None stands for a model that cuts long articles off."""
    return None if chunking is None else asdict(chunking)


def from_manifest(manifest: Mapping[str, Any]) -> Chunking | None:
    """Return the chunking that a manifest describes; None for a model that cuts long articles off.

    Raises:
        ArtefactError: this version does not know the entry.
    """
    entry = manifest.get("chunking")
    if entry is None:
        return None
    if not isinstance(entry, dict) or entry.keys() != {"stride", "max_chunks"}:
        raise ArtefactError(f"chunking {entry!r}: unknown; another version of the classifier wrote the model")
    return Chunking(int(entry["stride"]), int(entry["max_chunks"]))


def pool(
    probabilities: Probabilities, owners: Owners, weights: ChunkWeights, *, kind: TaskKind = "single"
) -> Probabilities:
    """Return articles' probabilities from those of their chunks, (chunks, categories).

    They are the softmax of the weighted mean of the logits; for a multi-label model, its sigmoid. Logarithms of
    probabilities replace the logits of a softmax: they differ by a constant per row, which softmax ignores. An article
    of one chunk keeps its bits, and the bits of any other depend on its own chunks alone. NaN stays NaN.
    """
    counts = np.bincount(owners)
    starts = np.cumsum(counts) - counts
    if len(starts) == len(owners):
        return probabilities
    with np.errstate(invalid="ignore"):
        if kind == "multi":
            logits = logit(probabilities)
        else:
            logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
        means = np.add.reduceat(logits * weights[:, None], starts) / np.add.reduceat(weights, starts)[:, None]
        pooled = (sigmoid if kind == "multi" else softmax)(means).astype(np.float32)
    single = counts == 1
    pooled[single] = probabilities[starts[single]]
    return np.asarray(pooled)
