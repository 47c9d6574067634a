"""Fit a classifier to annotated articles, and keep the weights of the best epoch on the validation split.

A training that was killed resumes from its last saved state and ends with the same bits: the state holds everything
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
from classifier.model.targets import log_odds
from classifier.training import probe
from classifier.training.checkpoints import Checkpoints
from classifier.training.recipes import Recipe
from classifier.training.training_loop import (
    TrainingJob,
    TrainingLoop,
    TrainingProgress,
    class_weights,
    ignore_progress,
    predict,
)
from classifier.training.training_state import EpochResult, TokenizedArticles, TrainingState

__all__ = [
    "EpochResult",
    "FittedModel",
    "TokenizedArticles",
    "TrainingProgress",
    "class_weights",
    "dtype_of",
    "fit_classifier",
    "predict",
]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FittedModel:
    """The best epoch's weights, and the history of the training.

    `accumulation_steps` is the number of parts that a step's batch was split into, to fit into memory. `resumed_from`
    is the step at which this attempt started.
    """

    weights: Weights
    history: tuple[EpochResult, ...]
    best_epoch: int
    dtype: str
    seconds: float
    accumulation_steps: int = 1
    resumed_from: int = 0
    losses: tuple[tuple[int, float], ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return what the manifest and the database store about the training."""
        return {
            "history": [asdict(epoch) for epoch in self.history],
            "best_epoch": self.best_epoch,
            "dtype": self.dtype,
            "seconds": round(self.seconds, 1),
            "accumulation_steps": self.accumulation_steps,
        }


def fit_classifier(
    checkpoint: Checkpoint,
    train: TokenizedArticles,
    validation: TokenizedArticles,
    recipe: Recipe,
    *,
    categories: int,
    checkpoints: Checkpoints | None = None,
    on_progress: Callable[[TrainingProgress], None] = ignore_progress,
) -> FittedModel:
    """Fine-tune the checkpoint, and return the weights of the best epoch.

    `early_stopping` chooses the best epoch. Training ends once macro-F1 on `validation` has not improved for
    `recipe.patience` epochs. If `checkpoints` hold a state, training resumes from it. If a step needs too much memory,
    its batch is split into twice as many parts, and training resumes from the last saved state.

    Raises:
        EncoderError: the recipe masks word pieces, and the encoder's vocabulary has no [MASK].
        TrainingMemoryError: not even one article at a time fits into memory.
    """
    if recipe.masking and train.mask_id is None:
        raise EncoderError(f"masking {recipe.masking}: the encoder's tokenizer has no [MASK]; set masking to 0")
    job = TrainingJob(train, validation, recipe, checkpoints, on_progress)
    accumulation_steps = 1
    while True:
        state = checkpoints.newest() if checkpoints else None
        accumulation_steps = max(accumulation_steps, state.position.accumulation_steps if state else 1)
        fitted = _attempt(checkpoint, job, categories, state, accumulation_steps)
        if fitted is not None:
            return fitted
        accumulation_steps = _split_further(accumulation_steps, recipe.batch_size)
        gc.collect()
        network.clear_session()


def _attempt(
    checkpoint: Checkpoint, job: TrainingJob, categories: int, state: TrainingState | None, accumulation_steps: int
) -> FittedModel | None:
    """Train to the end; return None if memory ran out, which makes the network unusable."""
    recipe = job.recipe
    dtype = dtype_of(recipe)
    trained = Network(
        checkpoint.shape, categories, kind=job.train.kind, dropout=recipe.dropout, dtype=dtype, seed=recipe.seed
    )
    trained.load(checkpoint)
    try:
        if state is None and "classifier.weight" not in checkpoint.weights:
            trained.load(replace(checkpoint, weights=_new_head(trained, job, categories)))
        loop = TrainingLoop(trained, job, accumulation_steps)
        if state is not None:
            loop.resume_from(state)
        loop.run_epochs()
        trained.restore(loop.best_weights)
    except StepTooLargeError:
        return None
    position = loop.position
    return FittedModel(
        weights=trained.weights(),
        history=position.history,
        best_epoch=position.best_epoch,
        dtype=dtype,
        seconds=loop.seconds,
        accumulation_steps=accumulation_steps,
        resumed_from=loop.resumed_from,
        losses=position.losses,
    )


def _new_head(trained: Network, job: TrainingJob, categories: int) -> Weights:
    """Return the tensors that a new head starts with; the others keep the network's random weights.

    The biases of a multi-label head without a probe are the log odds of the categories. With biases of 0, each category
    would start with a probability of a half, and the first epochs would only learn that most articles lack it.
    """
    recipe, head = job.recipe, Weights()
    if recipe.head == "probe":
        weights = class_weights(recipe.class_weights, job.train.targets)
        head = probe.fit_probe(trained, job.train, categories, weights=weights, seed=recipe.seed)
    if not head and job.train.kind == "multi":
        return {"classifier.bias": log_odds(job.train.targets)}
    return head


def _split_further(accumulation_steps: int, batch_size: int) -> int:
    """Return twice as many accumulation steps, at most one per article."""
    if accumulation_steps >= batch_size:
        raise TrainingMemoryError(
            "not even one article at a time fits into memory; set a lower max_length, or choose a smaller encoder"
        )
    accumulation_steps = min(2 * accumulation_steps, batch_size)
    log.warning(
        "out of memory: from now on the gradient of a step's %d articles is accumulated over %d parts of %d. The "
        "result differs only by rounding and dropout; training resumes from the last saved state",
        batch_size, accumulation_steps, -(-batch_size // accumulation_steps),
    )  # fmt: skip
    return accumulation_steps


def dtype_of(recipe: Recipe) -> Dtype:
    """Return the number format of the recipe; for "auto", the fastest on this machine."""
    return best_dtype() if recipe.dtype == "auto" else recipe.dtype
