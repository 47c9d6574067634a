"""The moving parts of one attempt at a training: its steps, its epochs, and when its state is saved."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from classifier.articles import CategoryIndices, Probabilities
from classifier.evaluation.metrics import macro_f1
from classifier.model.keras.network import Network, OptimizerConfig
from classifier.training import early_stopping
from classifier.training.batches import Batch, Size, batches, count, masked, split
from classifier.training.checkpoints import Checkpoints
from classifier.training.recipes import Recipe
from classifier.training.training_state import EpochResult, TokenizedArticles, TrainingPosition, TrainingState

log = logging.getLogger(__name__)

_CURVE_POINTS = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands.

    `validation` is the macro-F1 of the last epoch, once there is one; `ended` is the epoch that has just been
    validated. `seconds` counts earlier attempts too. `seconds_left` is told from the mean speed of this one
    without its first step, which compiles the graph; after that step alone it is not known.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    validation: float | None
    seconds: float
    seconds_left: float | None
    ended: EpochResult | None = None


class TrainingLoop:
    """One attempt: the position, the step and the best weights so far."""

    def __init__(
        self,
        network: Network,
        train: TokenizedArticles,
        validation: TokenizedArticles,
        recipe: Recipe,
        checkpoints: Checkpoints | None,
        on_progress: Callable[[Progress], None],
        parts: int,
    ) -> None:
        self.network, self.train, self.validation, self.recipe = network, train, validation, recipe
        self.checkpoints, self.on_progress = checkpoints, on_progress
        self.shuffle = np.random.default_rng(recipe.seed)
        self.position = TrainingPosition(parts=parts, shuffle=self.shuffle.bit_generator.state)
        self.best_weights: list[Any] = []
        self.size = Size(recipe.batch_size, recipe.batch_tokens)
        self.steps = count(train.pieces, self.size, recipe.epochs, np.random.default_rng(recipe.seed))
        self.weights = train.shares * class_weights(recipe.class_weights, train.targets)[train.chunk_targets]
        self.began_at, self.seconds_before = 0, 0.0
        self.started = time.monotonic()
        self.first_step = 0.0
        network.prepare(
            OptimizerConfig(
                recipe.learning_rate, recipe.weight_decay, int(recipe.warmup * self.steps), self.steps,
                recipe.clip_norm, parts, frozen_layers=recipe.frozen_layers,
                layer_decay=recipe.layer_decay, label_smoothing=recipe.label_smoothing, ema_decay=recipe.ema_decay,
            )
        )  # fmt: skip

    def resume_from(self, state: TrainingState) -> None:
        """Take a saved state up, unless it is one of another version of this code."""
        try:
            self.network.load_state(state.network, accumulation_steps=state.position.parts)
        except ValueError as error:
            log.warning("the saved state is not one of this network (%s); the training starts afresh", error)
            return
        self.position = replace(state.position, parts=self.position.parts)
        self.best_weights = list(state.best)
        self.began_at, self.seconds_before = state.position.step, state.position.seconds
        log.info("going on from step %d of %d, in epoch %d", self.position.step, self.steps, self.position.epoch)

    @property
    def seconds(self) -> float:
        """The time spent, in earlier attempts too."""
        return self.seconds_before + time.monotonic() - self.started

    def all_epochs(self) -> None:
        """Train from where it stands to the end, or until no epoch betters the last best one."""
        while self.position.epoch <= self.recipe.epochs:
            if early_stopping.since_best(self.position.history) >= self.recipe.patience:
                log.info("stopped early: no better macro-F1 in %d epochs", self.recipe.patience)
                return
            loss = self._one_epoch()
            with self.network.averaged():
                self._validate(loss)
            self._save()

    def _one_epoch(self) -> float:
        at = self.position
        self.shuffle.bit_generator.state = at.shuffle
        loss = at.loss
        data = self.train.pieces, self.train.chunk_targets
        for batch in batches(*data, size=self.size, weights=self.weights, shuffle=self.shuffle, start=at.batch):
            found = [
                self.network.fit_batch(part.tokens, part.mask, part.targets, part.sample_weight)
                for part in split(self._masked(batch), at.parts)
            ]
            done = self.position.batch
            loss = (self.position.loss * done + sum(found) / len(found)) / (done + 1)
            self._advance(loss)
            self.on_progress(self._progress(loss))
            if self.checkpoints and self.checkpoints.due(self.position.step):
                self._save()
        return loss

    def _masked(self, batch: Batch) -> Batch:
        """Return the batch as the network is to see it now; a training that goes on masks what it would have."""
        if not self.recipe.masking:
            return batch
        assert self.train.mask_id is not None, "`fit` has seen to it"
        generator = np.random.default_rng((self.position.step + 1, self.recipe.seed))
        return masked(batch, self.recipe.masking, self.train.mask_id, generator)

    def _advance(self, loss: float) -> None:
        at = self.position
        step = at.step + 1
        point = step % max(1, self.steps // _CURVE_POINTS) == 0
        losses = (*at.losses, (step, round(loss, 5))) if point else at.losses
        self.position = replace(at, step=step, batch=at.batch + 1, loss=loss, losses=losses)
        if step == self.began_at + 1:
            self.first_step = time.monotonic() - self.started

    def _validate(self, loss: float) -> None:
        at = self.position
        size = max(1, 2 * self.recipe.batch_size // at.parts)
        truth, predicted = self.validation.targets, predict(self.network, self.validation, size=size).argmax(axis=1)
        score, error = macro_f1(truth, predicted), early_stopping.standard_error(truth, predicted)
        accuracy = float(np.mean(predicted == truth))
        epoch = EpochResult(
            at.epoch, round(loss, 5), round(accuracy, 5), round(score, 5), round(self.seconds, 1), round(error, 5)
        )
        history = (*at.history, epoch)
        best = early_stopping.best_epoch(history)
        if best == at.epoch:
            self.best_weights = self.network.snapshot()
        log.info(
            "epoch %d of %d: loss %.4f, validation accuracy %.4f, macro-F1 %.4f ± %.4f",
            at.epoch, self.recipe.epochs, loss, accuracy, score, error,
        )  # fmt: skip
        self.position = replace(
            at, epoch=at.epoch + 1, batch=0, shuffle=self.shuffle.bit_generator.state, best_epoch=best,
            history=history,
        )  # fmt: skip
        self.on_progress(self._progress(loss, epoch))

    def _save(self) -> None:
        if self.checkpoints:
            position = replace(self.position, seconds=self.seconds)
            self.checkpoints.save(TrainingState(position, self.network.state(), self.best_weights))

    def _progress(self, loss: float, ended: EpochResult | None = None) -> Progress:
        at = self.position
        last = at.history[-1].macro_f1 if at.history else None
        epoch = ended.epoch if ended else at.epoch
        timed = at.step - self.began_at - 1
        taken = time.monotonic() - self.started - self.first_step
        left = taken / timed * (self.steps - at.step) if timed > 0 else None
        return Progress(at.step, self.steps, epoch, loss, last, self.seconds, left, ended)


def class_weights(kind: str, targets: CategoryIndices) -> Probabilities:
    """Return by how much each category's loss counts, shape (categories,): all 1, or 1 on average over the articles.

    "balanced" is the inverse of a category's share (King and Zeng, 2001), as scikit-learn has it.
    """
    counts = np.bincount(targets)
    if kind == "none":
        return np.ones(len(counts), dtype=np.float32)
    return (len(targets) / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def predict(network: Network, data: TokenizedArticles, *, size: int) -> Probabilities:
    """Return the probabilities of every article, in the data's order, from `size` chunks at a time."""
    found: Probabilities | None = None
    for batch in batches(data.pieces, data.chunk_targets, size=Size(size)):
        some = network.probabilities(batch.tokens, batch.mask)[: len(batch.rows)]
        if found is None:
            found = np.zeros((len(data.pieces), some.shape[1]), dtype=np.float32)
        found[batch.rows] = some
    assert found is not None, "there is always an article to validate on"
    return data.pooled(found)
