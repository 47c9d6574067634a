"""Fit a classifier to annotated articles, and keep the epoch's weights that the validation split speaks for.

A training that was killed goes on from its last saved state and ends in the same bits: the state has all
that changes, and on one machine a step's arithmetic gives the same bits every time.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from classifier.exceptions import EncoderError, StepTooLargeError, TrainingMemoryError
from classifier.model.checkpoint import Checkpoint, Weights
from classifier.model.keras import network
from classifier.model.keras.backend import Dtype, best_dtype
from classifier.model.keras.network import Network
from classifier.training import probe
from classifier.training.checkpoints import Checkpoints
from classifier.training.recipes import Recipe
from classifier.training.training_loop import Progress, TrainingLoop, class_weights, predict
from classifier.training.training_state import EpochResult, TokenizedArticles, TrainingState

__all__ = [
    "EpochResult",
    "FittedModel",
    "Progress",
    "TokenizedArticles",
    "class_weights",
    "fit_classifier",
    "precision_of",
    "predict",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FittedModel:
    """The best weights, and how the training went.

    `parts` is how many pieces memory made of a step. `resumed_from` is the step at which this attempt began.
    """

    weights: Weights
    history: tuple[EpochResult, ...]
    best_epoch: int
    precision: str
    seconds: float
    parts: int = 1
    resumed_from: int = 0
    losses: tuple[tuple[int, float], ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return what the manifest and the database keep of the training."""
        return {
            "history": [asdict(epoch) for epoch in self.history],
            "best_epoch": self.best_epoch,
            "precision": self.precision,
            "seconds": round(self.seconds, 1),
            "parts": self.parts,
        }


def fit_classifier(
    checkpoint: Checkpoint,
    train: TokenizedArticles,
    validation: TokenizedArticles,
    recipe: Recipe,
    *,
    categories: int,
    checkpoints: Checkpoints | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> FittedModel:
    """Train from the checkpoint's encoder and return the best epoch's weights.

    `early_stopping` says which epoch is the best; training ends once `recipe.patience` epochs have not bettered the
    highest macro-F1 on `validation`. With `checkpoints`, it goes on from what they hold. A step that needs too much
    memory is computed in twice as many parts, from the last saved state on.

    Raises:
        EncoderError: the recipe masks word pieces, and the encoder's vocabulary has no mask.
        TrainingMemoryError: not even one article at a time fits into memory.
    """
    if recipe.masking and train.mask_id is None:
        raise EncoderError(f"masking {recipe.masking}: the encoder's tokenizer has no [MASK]; set masking to 0")
    parts = 1
    while True:
        state = checkpoints.newest() if checkpoints else None
        parts = max(parts, state.position.parts if state else 1)
        fitted = _attempt(checkpoint, (train, validation), recipe, categories, checkpoints, on_progress, state, parts)
        if fitted is not None:
            return fitted
        parts = _more(parts, recipe.batch_size)
        gc.collect()
        network.clear_session()


def _attempt(
    checkpoint: Checkpoint,
    data: tuple[TokenizedArticles, TokenizedArticles],
    recipe: Recipe,
    categories: int,
    checkpoints: Checkpoints | None,
    on_progress: Callable[[Progress], None],
    state: TrainingState | None,
    parts: int,
) -> FittedModel | None:
    """Train to the end; None where memory ran out, which leaves the network of no use."""
    precision = precision_of(recipe)
    network = Network(checkpoint.shape, categories, dropout=recipe.dropout, dtype=precision, seed=recipe.seed)
    network.load(checkpoint)
    try:
        if state is None and recipe.head == "probe" and "classifier.weight" not in checkpoint.weights:
            counting = class_weights(recipe.class_weights, data[0].targets)
            head = probe.head(network, data[0], categories, weights=counting, seed=recipe.seed)
            network.load(replace(checkpoint, weights=head))
        run = TrainingLoop(network, *data, recipe, checkpoints, on_progress, parts)
        if state is not None:
            run.resume_from(state)
        run.all_epochs()
        network.restore(run.best_weights)
    except StepTooLargeError:
        return None
    at = run.position
    return FittedModel(
        network.weights(), at.history, at.best_epoch, precision, run.seconds, parts, run.began_at, at.losses
    )


def _more(parts: int, batch_size: int) -> int:
    if parts >= batch_size:
        raise TrainingMemoryError(
            "not even one article at a time fits into memory; take a shorter max length or a smaller encoder"
        )
    parts = min(2 * parts, batch_size)
    log.warning(
        "out of memory: from now on a step's %d articles are computed in %d parts of %d, with the same result but "
        "for rounding and dropout; it goes on from the last saved state",
        batch_size, parts, -(-batch_size // parts),
    )  # fmt: skip
    return parts


def precision_of(recipe: Recipe) -> Dtype:
    """Return the number format that a recipe means on this machine."""
    return best_dtype() if recipe.precision == "auto" else recipe.precision  # type: ignore[return-value]
