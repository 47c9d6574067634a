"""What a training is known by, and all that it needs to go on where it was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import CategoryIndices, Probabilities
from classifier.model import text_chunking
from classifier.model.checkpoint import Checkpoint
from classifier.model.hardware import keras_backend
from classifier.model.text_chunking import ChunkWeights, Owners
from classifier.model.tokenization import Pieces
from classifier.model.word_pieces import PackedPieces, lengths_of, pack
from classifier.training.recipes import Recipe

FORMAT = 2
"""Of the state and of what the key covers; another one makes every training start afresh."""

_HASHED = 1_000_000  # word pieces at once


@dataclass(frozen=True, slots=True)
class TokenizedArticles:
    """Articles as word pieces, with their categories' positions.

    `pieces` are chunks, `owners` leads from each to its article, and `weights` say how much it counts beside the
    article's others: all alike without them. Without `owners`, an article is one chunk. `mask_id` is the piece
    that may stand for others in training, where the vocabulary has one.
    """

    pieces: Pieces
    targets: CategoryIndices
    owners: Owners | None = None
    mask_id: int | None = None
    weights: ChunkWeights | None = None

    @property
    def chunk_targets(self) -> CategoryIndices:
        """Each chunk's category: that of its article."""
        return self.targets if self.owners is None else self.targets[self.owners]

    @property
    def chunk_weights(self) -> ChunkWeights:
        """How much each chunk counts beside its article's others, shape (chunks,)."""
        return np.ones(len(self.pieces)) if self.weights is None else self.weights

    @property
    def shares(self) -> Probabilities:
        """How much each chunk counts, shape (chunks,): 1 on average, and all of an article's as much as any other's."""
        if self.owners is None:
            return np.ones(len(self.pieces), dtype=np.float32)
        of_articles = np.bincount(self.owners, weights=self.chunk_weights)
        mean = len(self.pieces) / len(self.targets)
        return (mean * self.chunk_weights / of_articles[self.owners]).astype(np.float32)

    def pooled(self, probabilities: Probabilities) -> Probabilities:
        """Return the articles' probabilities from those of their chunks."""
        if self.owners is None:
            return probabilities
        return text_chunking.pool(probabilities, self.owners, self.chunk_weights)

    def sha256(self) -> str:
        """Return a hash of all that the network gets to see of the articles, in their order."""
        found = hashlib.sha256(lengths_of(self.pieces).tobytes())
        packed = self.pieces if isinstance(self.pieces, PackedPieces) else pack(list(self.pieces))
        for start in range(0, len(packed.ids), _HASHED):
            found.update(packed.ids[start : start + _HASHED].astype(np.int64).tobytes())
        owners = np.arange(len(self.pieces)) if self.owners is None else self.owners
        targets = np.asarray(self.targets, dtype=np.int64)
        for part in (targets, owners.astype(np.int64), self.chunk_weights):
            found.update(part.tobytes())
        return found.hexdigest()


@dataclass(frozen=True, slots=True)
class EpochResult:
    """What an epoch came to.

    `seconds` counts from the training's start, without the time between two attempts; `standard_error` is macro-F1's,
    0 in a history of before it was measured.
    """

    epoch: int
    loss: float
    accuracy: float
    macro_f1: float
    seconds: float
    standard_error: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainingPosition:
    """How far a training has come, after a whole step.

    `batch` steps of `epoch` are done, `step` of all epochs. `shuffle` is the state of the generator at the
    start of the epoch, which deals the epoch's batches again. `loss` is the mean since the epoch's start, and
    `losses` are points of its curve: step and loss. `parts` is how many pieces a step is computed in.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    parts: int = 1
    seconds: float = 0.0
    shuffle: Mapping[str, Any] = field(default_factory=dict)
    best_epoch: int = 0
    history: tuple[EpochResult, ...] = ()
    losses: tuple[tuple[int, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingPosition:
        """Take back what `to_json` gave."""
        history = tuple(EpochResult(**epoch) for epoch in values["history"])
        losses = tuple((int(step), float(loss)) for step, loss in values["losses"])
        return cls(**{**values, "history": history, "losses": losses})


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A training's position with everything that changes in the network, and the best epoch's weights."""

    position: TrainingPosition
    network: Mapping[str, NDArray[Any]]
    best: Sequence[NDArray[Any]]


def key(
    checkpoint: Checkpoint,
    train: TokenizedArticles,
    validation: TokenizedArticles,
    recipe: Recipe,
    *,
    categories: Sequence[str],
    dtype: str,
) -> str:
    """Return a name for what is trained: trainings of one key, on one machine, come to the same weights.

    It covers what goes into the network: the articles as word pieces, the weights it starts from, the
    recipe with its seed, the number format, and the versions of the libraries that compute.
    """
    found = hashlib.sha256()
    described = {
        "format": FORMAT,
        "recipe": asdict(recipe),
        "dtype": dtype,
        "categories": list(categories),
        "train": train.sha256(),
        "validation": validation.sha256(),
        "shape": asdict(checkpoint.shape),
        "versions": {name: version(name) for name in ("keras", "keras-hub", keras_backend())},
    }
    found.update(json.dumps(described, sort_keys=True, default=str).encode())
    for name in sorted(checkpoint.weights):
        tensor = np.ascontiguousarray(checkpoint.weights[name])
        found.update(f"{name} {tensor.dtype} {tensor.shape}\0".encode())
        found.update(tensor.data)
    return found.hexdigest()[:32]
