"""What becomes of an article that is longer than the model can see: its end is cut off, or it is read in chunks.

Chunks begin a stride apart and overlap, so that what one cuts in two stands whole in the next. An article's
logits are the mean of its chunks', and a chunk counts by its length: the last one may be a few words. It is the
same in training, evaluation and labelling, and travels with the model: what counts in the end is pooled here,
and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities
from classifier.exceptions import ArtefactError, SettingsError

SPECIALS = 2
"""Word pieces of a chunk that are no text: a DistilBERT's [CLS] and [SEP]."""

Owners = NDArray[np.int64]
"""For each chunk the position of its article; ascending, and none is left out. Shape (chunks,)."""

ChunkWeights = NDArray[np.float64]
"""How much each chunk counts beside its article's others; above 0. Shape (chunks,)."""

_POOLINGS = {True: "mean logit by length", False: "mean logit"}
"""What a manifest calls them, by `Chunking.by_length`."""

_LEAST = np.finfo(np.float32).tiny  # an engine's softmax may round a probability to 0, which has no logarithm


@dataclass(frozen=True, slots=True)
class Chunking:
    """Reading in chunks that begin `stride` word pieces apart, the first `most` of an article's.

    What lies behind the last one is cut off: so the longest article costs no more than `most` short ones.
    `by_length` is false in models of before, whose chunks all count alike.
    """

    stride: int
    most: int
    by_length: bool = True

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
        if not 1 <= self.most <= 64:
            raise SettingsError(f"max chunks {self.most}: has to be 1 to 64")

    def overlap(self, max_length: int) -> int:
        """Return how many word pieces of text two neighbouring chunks share."""
        return max_length - SPECIALS - self.stride

    def weights(self, pieces: Sequence[Sequence[int] | NDArray[np.int32]]) -> ChunkWeights:
        """Return how much each of these chunks counts."""
        return np.array([len(ids) if self.by_length else 1 for ids in pieces], dtype=np.float64)


def to_manifest(chunking: Chunking | None) -> dict[str, Any]:
    """Return what a model's manifest says of long articles; None is cutting off."""
    if chunking is None:
        return {"mode": "truncate"}
    pooling = _POOLINGS[chunking.by_length]
    return {"mode": "chunk", "stride": chunking.stride, "most": chunking.most, "pooling": pooling}


def from_manifest(manifest: Mapping[str, Any]) -> Chunking | None:
    """Take it back; a model of before there were chunks cuts off.

    Raises:
        ArtefactError: it is a way that this version does not know.
    """
    said = dict(manifest.get("long_articles", {"mode": "truncate"}))
    mode, pooling = said.pop("mode", None), said.pop("pooling", _POOLINGS[False])
    if mode == "truncate":
        return None
    if mode != "chunk" or pooling not in _POOLINGS.values() or said.keys() != {"stride", "most"}:
        raise ArtefactError(f"long articles {mode!r}, {pooling!r}: another version of the classifier wrote the model")
    return Chunking(int(said["stride"]), int(said["most"]), by_length=pooling == _POOLINGS[True])


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
        logs = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
        means = np.add.reduceat(logs * weights[:, None], starts) / np.add.reduceat(weights, starts)[:, None]
        powers = np.exp(means - means.max(axis=1, keepdims=True))
        pooled = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    single = counts == 1
    pooled[single] = probabilities[starts[single]]
    return np.asarray(pooled)
