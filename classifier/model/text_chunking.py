"""What becomes of an article that is longer than the model can see: its end is cut off, or it is read in chunks.

Chunks begin a stride apart and overlap, so that what one cuts in two stands whole in the next. An article's
logits are the mean of its chunks', and a chunk counts by its length: the last one may be a few words. It is the
same in training, evaluation and labelling, and travels with the model: what counts in the end is pooled here,
and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities
from classifier.exceptions import ArtefactError, SettingsError

SPECIALS = 2
"""Word pieces of a chunk that are no text: a DistilBERT's [CLS] and [SEP]."""

MAX_CHUNKS = 64
"""Chunks of an article at most."""

Owners = NDArray[np.int64]
"""For each chunk the position of its article; ascending, and none is left out. Shape (chunks,)."""

ChunkWeights = NDArray[np.float64]
"""How much each chunk counts beside its article's others; above 0. Shape (chunks,)."""

_SMALLEST = np.finfo(np.float32).tiny  # an engine's softmax may round a probability to 0, which has no logarithm


@dataclass(frozen=True, slots=True)
class Chunking:
    """How an article is split: chunks begin `stride` word pieces apart, and at most `max_chunks` are read.

    The text after the last chunk is cut off, so the longest article costs no more than `max_chunks` short ones.
    """

    stride: int
    max_chunks: int

    def check(self, max_length: int) -> None:
        """Refuse what would leave out text between two chunks of `max_length` word pieces.

        Raises:
            SettingsError: the stride is longer than a chunk's text, or there is no chunk.
        """
        longest = max_length - SPECIALS
        if not 1 <= self.stride <= longest:
            raise SettingsError(
                f"stride {self.stride}: has to be 1 to {longest}, the max length less {SPECIALS} special word pieces"
            )
        if not 1 <= self.max_chunks <= MAX_CHUNKS:
            raise SettingsError(f"max chunks {self.max_chunks}: has to be 1 to {MAX_CHUNKS}")

    def overlap(self, max_length: int) -> int:
        """Return how many word pieces of text two neighbouring chunks share."""
        return max_length - SPECIALS - self.stride


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


def pool(probabilities: Probabilities, owners: Owners, weights: ChunkWeights) -> Probabilities:
    """Return articles' probabilities from those of their chunks, (chunks, categories): softmax of weighted mean logits.

    Logits are known but for a constant a row as the logarithms of probabilities, and softmax does not see it. An
    article of a single chunk keeps its very bits. The others' depend on their own chunks alone. What is not a number
    stays none.
    """
    counts = np.bincount(owners)
    starts = np.cumsum(counts) - counts
    if len(starts) == len(owners):
        return probabilities
    with np.errstate(invalid="ignore"):
        logs = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST))
        means = np.add.reduceat(logs * weights[:, None], starts) / np.add.reduceat(weights, starts)[:, None]
        powers = np.exp(means - means.max(axis=1, keepdims=True))
        pooled = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    single = counts == 1
    pooled[single] = probabilities[starts[single]]
    return np.asarray(pooled)
