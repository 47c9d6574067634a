"""Fit a classifier to annotated articles, and keep the weights that were best on the validation split."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from classifier.articles import CategoryIndices, Probabilities
from classifier.evaluation.metrics import macro_f1
from classifier.model.backend import Precision, best_precision
from classifier.model.checkpoint import Checkpoint, Weights
from classifier.model.network import Network, Optimisation
from classifier.model.tokenization import Pieces
from classifier.training.batches import batches, count
from classifier.training.recipes import Recipe

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tokenized:
    """Articles as word pieces, with their categories' positions."""

    pieces: Pieces
    targets: CategoryIndices


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands.

    `validation` is the macro-F1 of the last epoch, once there is one. `seconds_left` is told from the mean
    speed so far, less the first step, which compiles the graph.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    validation: float | None
    seconds: float
    seconds_left: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to."""

    epoch: int
    loss: float
    accuracy: float
    macro_f1: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """The best weights, and how the training went."""

    weights: Weights
    history: tuple[Epoch, ...]
    best_epoch: int
    precision: str
    seconds: float

    def summary(self) -> dict[str, Any]:
        """Return what the manifest and the database keep of the training."""
        return {
            "history": [asdict(epoch) for epoch in self.history],
            "best_epoch": self.best_epoch,
            "precision": self.precision,
            "seconds": round(self.seconds, 1),
        }


def fit(
    checkpoint: Checkpoint,
    train: Tokenized,
    validation: Tokenized,
    recipe: Recipe,
    *,
    categories: int,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Fitted:
    """Train from the checkpoint's encoder and return the best epoch's weights.

    The best epoch is the one with the highest macro-F1 on `validation`; training stops early once
    `recipe.patience` epochs have not bettered it.
    """
    precision = _precision(recipe)
    network = Network(checkpoint.shape, categories, dropout=recipe.dropout, precision=precision, seed=recipe.seed)
    network.load(checkpoint)
    run = _Run(network, train, validation, recipe, on_progress)
    run.all_epochs()
    network.restore(run.best_weights)
    return Fitted(network.weights(), tuple(run.history), run.best_epoch, precision, time.monotonic() - run.started)


class _Run:
    """The moving parts of one training: the step, the history and the best weights so far."""

    def __init__(
        self,
        network: Network,
        train: Tokenized,
        validation: Tokenized,
        recipe: Recipe,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.network, self.train, self.validation, self.recipe = network, train, validation, recipe
        self.on_progress = on_progress
        self.shuffle = np.random.default_rng(recipe.seed)
        self.steps = recipe.epochs * count(len(train.pieces), recipe.batch_size)
        self.step = 0
        self.started = time.monotonic()
        self.first_step = 0.0
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.best_weights: list[Any] = []
        self.class_weights = class_weights(recipe.class_weights, train.targets)
        network.prepare(
            Optimisation(
                recipe.learning_rate,
                recipe.weight_decay,
                int(recipe.warmup * self.steps),
                self.steps,
                recipe.clip_norm,
                frozen_layers=recipe.frozen_layers,
                layer_decay=recipe.layer_decay,
                label_smoothing=recipe.label_smoothing,
                ema_decay=recipe.ema_decay,
            )
        )

    def all_epochs(self) -> None:
        for epoch in range(1, self.recipe.epochs + 1):
            loss = self._one_epoch(epoch)
            with self.network.averaged():
                self._validate(epoch, loss)
            if epoch - self.best_epoch >= self.recipe.patience:
                log.info("stopped early: no better macro-F1 in %d epochs", self.recipe.patience)
                return

    def _one_epoch(self, epoch: int) -> float:
        self.network.start_epoch()
        loss = float("nan")
        for batch in batches(*self._data(), size=self.recipe.batch_size, shuffle=self.shuffle):
            weights = batch.importance * self.class_weights[batch.targets]
            loss = self.network.fit_batch(batch.tokens, batch.mask, batch.targets, weights)
            self.step += 1
            self.on_progress(self._progress(epoch, loss))
        return loss

    def _validate(self, epoch: int, loss: float) -> None:
        predicted = predict(self.network, self.validation, size=2 * self.recipe.batch_size).argmax(axis=1)
        score = macro_f1(self.validation.targets, predicted)
        accuracy = float(np.mean(predicted == self.validation.targets))
        seconds = time.monotonic() - self.started
        self.history.append(Epoch(epoch, round(loss, 5), round(accuracy, 5), round(score, 5), round(seconds, 1)))
        if not self.best_epoch or score > self.history[self.best_epoch - 1].macro_f1:
            self.best_epoch, self.best_weights = epoch, self.network.snapshot()
        log.info(
            "epoch %d of %d: loss %.4f, validation accuracy %.4f, macro-F1 %.4f",
            epoch, self.recipe.epochs, loss, accuracy, score,
        )  # fmt: skip
        self.on_progress(self._progress(epoch, loss))

    def _progress(self, epoch: int, loss: float) -> Progress:
        last = self.history[-1].macro_f1 if self.history else None
        seconds = time.monotonic() - self.started
        if self.step == 1:
            self.first_step = seconds
        a_step = (seconds - self.first_step) / (self.step - 1) if self.step > 1 else seconds
        return Progress(self.step, self.steps, epoch, loss, last, seconds, a_step * (self.steps - self.step))

    def _data(self) -> tuple[Pieces, CategoryIndices]:
        return self.train.pieces, self.train.targets


def class_weights(kind: str, targets: CategoryIndices) -> Probabilities:
    """Return by how much each category's loss counts, shape (categories,): all 1, or 1 on average over the articles.

    "balanced" is the inverse of a category's share (King and Zeng, 2001), as scikit-learn has it.
    """
    counts = np.bincount(targets)
    if kind == "none":
        return np.ones(len(counts), dtype=np.float32)
    return (len(targets) / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def predict(network: Network, data: Tokenized, *, size: int) -> Probabilities:
    """Return the probabilities of every article, in the data's order."""
    found: Probabilities | None = None
    for batch in batches(data.pieces, data.targets, size=size):
        some = network.probabilities(batch.tokens, batch.mask)[: len(batch.rows)]
        if found is None:
            found = np.zeros((len(data.pieces), some.shape[1]), dtype=np.float32)
        found[batch.rows] = some
    assert found is not None, "there is always an article to validate on"
    return found


def _precision(recipe: Recipe) -> Precision:
    return best_precision() if recipe.precision == "auto" else recipe.precision  # type: ignore[return-value]
