"""Define what identifies a training, and everything that it needs to resume after it was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities, TaskKind
from classifier.model import text_chunking
from classifier.model.checkpoint import Checkpoint
from classifier.model.hardware import backend_version
from classifier.model.targets import Targets
from classifier.model.text_chunking import ChunkWeights, Owners
from classifier.model.tokenization import Pieces
from classifier.model.word_pieces import PackedPieces, lengths_of, pack
from classifier.training.recipes import Recipe

FORMAT = 3
"""Format of a saved state and of the key; after a change, every training starts from the beginning."""

_HASH_CHUNK = 1_000_000  # word pieces


@dataclass(frozen=True, slots=True)
class TokenizedArticles:
    """Articles as word pieces, with their categories as targets: a matrix for a multi-label network.

    `pieces` are chunks, `owners` the position of each chunk's article, and `weights` the weight of each chunk among the
    chunks of its article. Without `owners`, each article is one chunk; without `weights`, all chunks weigh the same.
    `mask_id` is the id of [MASK], or None if the vocabulary has none.
    """

    pieces: Pieces
    targets: Targets
    owners: Owners | None = None
    mask_id: int | None = None
    weights: ChunkWeights | None = None

    @property
    def kind(self) -> TaskKind:
        """Whether each article has exactly one category, or any number of them."""
        return "multi" if self.targets.ndim > 1 else "single"

    @property
    def chunk_targets(self) -> Targets:
        """The target of each chunk, which is its article's."""
        return self.targets if self.owners is None else self.targets[self.owners]

    @property
    def chunk_weights(self) -> ChunkWeights:
        """The weight of each chunk among the chunks of its article, shape (chunks,)."""
        return np.ones(len(self.pieces)) if self.weights is None else self.weights

    @property
    def shares(self) -> Probabilities:
        """The weight of each chunk in the loss, shape (chunks,): 1 on average, and the same sum for every article."""
        if self.owners is None:
            return np.ones(len(self.pieces), dtype=np.float32)
        of_articles = np.bincount(self.owners, weights=self.chunk_weights)
        mean = len(self.pieces) / len(self.targets)
        return (mean * self.chunk_weights / of_articles[self.owners]).astype(np.float32)

    def pooled(self, probabilities: Probabilities) -> Probabilities:
        """Return the articles' probabilities, given those of their chunks."""
        if self.owners is None:
            return probabilities
        return text_chunking.pool(probabilities, self.owners, self.chunk_weights, kind=self.kind)

    def sha256(self) -> str:
        """Return a hash of everything that the network sees of the articles, in their order."""
        digest = hashlib.sha256(lengths_of(self.pieces).tobytes())
        packed = self.pieces if isinstance(self.pieces, PackedPieces) else pack(list(self.pieces))
        for start in range(0, len(packed.ids), _HASH_CHUNK):
            digest.update(packed.ids[start : start + _HASH_CHUNK].astype(np.int64).tobytes())
        owners = np.arange(len(self.pieces)) if self.owners is None else self.owners
        targets = np.asarray(self.targets, dtype=np.int64) if self.kind == "single" else _packed(self.targets)
        for array in (targets, owners.astype(np.int64), self.chunk_weights):
            digest.update(array.tobytes())
        return digest.hexdigest()


def _packed(matrix: NDArray[Any]) -> NDArray[np.int64]:
    """Return the positions of the matrix's labels among its cells, after its shape."""
    return np.concatenate([np.array(matrix.shape), np.flatnonzero(matrix)]).astype(np.int64)


@dataclass(frozen=True, slots=True)
class EpochResult:
    """The metrics of an epoch on the validation split.

    `accuracy` is the share of articles with exactly the annotated categories. `seconds` counts from the start of the
    training, without the time between two attempts. `standard_error` is that of macro-F1.
    """

    epoch: int
    loss: float
    accuracy: float
    macro_f1: float
    seconds: float
    standard_error: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainingPosition:
    """The progress of a training after a whole step.

    `batch` steps of epoch `epoch` are done, and `step` steps of all epochs. `shuffle` is the generator's state at the
    start of the epoch, which yields the epoch's batches again. `loss` is the mean since the start of the epoch, and
    `losses` are the points of its curve: step and loss. A step's gradient is accumulated over `accumulation_steps`.
    """

    epoch: int = 1
    batch: int = 0
    step: int = 0
    loss: float = 0.0
    accumulation_steps: int = 1
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
        """Return the position that `to_json` returned these values for."""
        history = tuple(EpochResult(**epoch) for epoch in values["history"])
        losses = tuple((int(step), float(loss)) for step, loss in values["losses"])
        return cls(**{**values, "history": history, "losses": losses})


@dataclass(frozen=True, slots=True)
class TrainingState:
    """A training's position, everything that changes in the network, and the weights of the best epoch."""

    position: TrainingPosition
    network: Mapping[str, NDArray[Any]]
    best: Sequence[NDArray[Any]]


def training_key(
    checkpoint: Checkpoint,
    train: TokenizedArticles,
    validation: TokenizedArticles,
    recipe: Recipe,
    *,
    categories: Sequence[str],
    arithmetic: str,
) -> str:
    """Return the key of a training: on one machine, trainings with the same key end with the same weights.

    It covers everything that affects the weights: the articles as word pieces, the weights that the training starts
    from, the recipe with its seed, the libraries' versions, and `arithmetic`: the backend and the number format.
    """
    digest = hashlib.sha256()
    description = {
        "format": FORMAT,
        "recipe": asdict(recipe),
        "arithmetic": arithmetic,
        "categories": list(categories),
        "train": train.sha256(),
        "validation": validation.sha256(),
        "shape": asdict(checkpoint.shape),
        "versions": {"keras": version("keras"), "keras-hub": version("keras-hub"), **backend_version()},
    }
    digest.update(json.dumps(description, sort_keys=True, default=str).encode())
    for name in sorted(checkpoint.weights):
        tensor = np.ascontiguousarray(checkpoint.weights[name])
        digest.update(f"{name} {tensor.dtype} {tensor.shape}\0".encode())
        digest.update(tensor.data)
    return digest.hexdigest()[:32]
