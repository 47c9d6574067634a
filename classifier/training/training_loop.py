"""Run one attempt at a training: its steps, its epochs, and the saving of its state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from classifier.articles import Probabilities
from classifier.model.keras.network import Network, OptimizerConfig
from classifier.model.targets import Targets
from classifier.training import early_stopping
from classifier.training.batches import BatchSize, TrainingBatch, batches, count_batches, mask_tokens, split_batch
from classifier.training.checkpoints import Checkpoints
from classifier.training.epoch_scores import score_epoch
from classifier.training.recipes import Recipe
from classifier.training.training_state import EpochResult, TokenizedArticles, TrainingPosition, TrainingState

log = logging.getLogger(__name__)

_CURVE_POINTS = 200


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The progress of a training.

    `validation` is the macro-F1 of the last epoch, or None during the first. `ended` is the epoch that has just been
    validated, if any. `seconds` includes earlier attempts. `seconds_left` is estimated from this attempt's mean speed
    without its first step, which compiles the graph; until the second step it is None.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    validation: float | None
    seconds: float
    seconds_left: float | None
    ended: EpochResult | None = None


def ignore_progress(_progress: TrainingProgress) -> None:
    """Do nothing with the progress."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """The articles, recipe, saved states and progress receiver of a training."""

    train: TokenizedArticles
    validation: TokenizedArticles
    recipe: Recipe
    checkpoints: Checkpoints | None = None
    on_progress: Callable[[TrainingProgress], None] = ignore_progress


class TrainingLoop:
    """One attempt at a training: its position, its optimizer and the best weights so far."""

    def __init__(self, network: Network, job: TrainingJob, accumulation_steps: int) -> None:
        recipe, train = job.recipe, job.train
        self.network, self.job = network, job
        self.shuffle = np.random.default_rng(recipe.seed)
        self.position = TrainingPosition(
            accumulation_steps=accumulation_steps, shuffle=self.shuffle.bit_generator.state
        )
        self.best_weights: list[Any] = []
        self.size = BatchSize(recipe.batch_size, recipe.batch_tokens)
        self.steps = count_batches(train.pieces, self.size, recipe.epochs, np.random.default_rng(recipe.seed))
        self.weights, positive_weights = train.shares, ()
        of_categories = class_weights(recipe.class_weights, train.targets)
        if train.kind == "single":
            self.weights = train.shares * of_categories[train.chunk_targets]
        else:
            positive_weights = tuple(of_categories.tolist())
        self.resumed_from, self.seconds_before = 0, 0.0
        self.started_at = time.monotonic()
        self.first_step_s = 0.0
        config = _optimizer_config(recipe, self.steps, accumulation_steps)
        network.prepare(replace(config, positive_weights=positive_weights))

    def resume_from(self, state: TrainingState) -> None:
        """Continue from a saved state; if it is not one of this network, start from the beginning."""
        try:
            self.network.load_state(state.network, accumulation_steps=state.position.accumulation_steps)
        except ValueError as error:
            log.warning("the saved state does not match the network (%s); training from the beginning", error)
            return
        self.position = replace(state.position, accumulation_steps=self.position.accumulation_steps)
        self.best_weights = list(state.best)
        self.resumed_from, self.seconds_before = state.position.step, state.position.seconds
        log.info("resuming from step %d of %d, in epoch %d", self.position.step, self.steps, self.position.epoch)

    @property
    def seconds(self) -> float:
        """The duration of the training, including earlier attempts."""
        return self.seconds_before + time.monotonic() - self.started_at

    def run_epochs(self) -> None:
        """Train from the present position to the last epoch, or until macro-F1 stops improving."""
        recipe = self.job.recipe
        while self.position.epoch <= recipe.epochs:
            if early_stopping.epochs_since_best(self.position.history) >= recipe.patience:
                log.info("stopped early: macro-F1 has not improved for %d epochs", recipe.patience)
                return
            loss = self._run_epoch()
            with self.network.averaged():
                self._validate(loss)
            self._save()

    def _run_epoch(self) -> float:
        """Train on the remaining batches of the epoch, and return its mean loss."""
        start = self.position
        self.shuffle.bit_generator.state = start.shuffle
        loss = start.loss
        for batch in batches(
            self.job.train.pieces,
            self.job.train.chunk_targets,
            size=self.size,
            weights=self.weights,
            shuffle=self.shuffle,
            start=start.batch,
        ):
            losses = [
                self.network.fit_batch(part.tokens, part.mask, part.targets, part.sample_weight)
                for part in split_batch(self._masked(batch), start.accumulation_steps)
            ]
            done = self.position.batch
            loss = (self.position.loss * done + sum(losses) / len(losses)) / (done + 1)
            self._advance(loss)
            self.job.on_progress(self._progress(loss))
            if self.job.checkpoints and self.job.checkpoints.due(self.position.step):
                self._save()
        return loss

    def _masked(self, batch: TrainingBatch) -> TrainingBatch:
        """Return the batch with this step's masking, which depends on step and seed only: a resumed step repeats it."""
        recipe = self.job.recipe
        if not recipe.masking:
            return batch
        assert self.job.train.mask_id is not None, "fit_classifier has checked it"
        generator = np.random.default_rng((self.position.step + 1, recipe.seed))
        return mask_tokens(batch, recipe.masking, self.job.train.mask_id, generator)

    def _advance(self, loss: float) -> None:
        """Move the position by one step."""
        position = self.position
        step = position.step + 1
        is_point = step % max(1, self.steps // _CURVE_POINTS) == 0
        losses = (*position.losses, (step, round(loss, 5))) if is_point else position.losses
        self.position = replace(position, step=step, batch=position.batch + 1, loss=loss, losses=losses)
        if step == self.resumed_from + 1:
            self.first_step_s = time.monotonic() - self.started_at

    def _validate(self, loss: float) -> None:
        """Measure the epoch on the validation split, keep its weights if it is the best, and start the next epoch."""
        position = self.position
        result = self._measure(loss)
        history = (*position.history, result)
        best = early_stopping.best_epoch(history)
        if best == position.epoch:
            self.best_weights = self.network.snapshot()
        self.position = replace(
            position,
            epoch=position.epoch + 1,
            batch=0,
            shuffle=self.shuffle.bit_generator.state,
            best_epoch=best,
            history=history,
        )
        self.job.on_progress(self._progress(loss, result))

    def _measure(self, loss: float) -> EpochResult:
        """Return the metrics of the present weights on the validation split."""
        position, recipe = self.position, self.job.recipe
        size = max(1, 2 * recipe.batch_size // position.accumulation_steps)
        scores = score_epoch(self.job.validation.targets, predict(self.network, self.job.validation, size=size))
        result = EpochResult(
            epoch=position.epoch,
            loss=round(loss, 5),
            accuracy=scores.accuracy,
            macro_f1=scores.macro_f1,
            seconds=round(self.seconds, 1),
            standard_error=scores.standard_error,
        )
        log.info(
            "epoch %d of %d: loss %.4f, validation accuracy %.4f, macro-F1 %.4f ± %.4f",
            result.epoch, recipe.epochs, result.loss, result.accuracy, result.macro_f1, result.standard_error,
        )  # fmt: skip
        return result

    def _save(self) -> None:
        if self.job.checkpoints:
            position = replace(self.position, seconds=self.seconds)
            self.job.checkpoints.save(TrainingState(position, self.network.state(), self.best_weights))

    def _progress(self, loss: float, ended: EpochResult | None = None) -> TrainingProgress:
        position = self.position
        timed_steps = position.step - self.resumed_from - 1
        timed_s = time.monotonic() - self.started_at - self.first_step_s
        return TrainingProgress(
            step=position.step,
            steps=self.steps,
            epoch=ended.epoch if ended else position.epoch,
            loss=loss,
            validation=position.history[-1].macro_f1 if position.history else None,
            seconds=self.seconds,
            seconds_left=timed_s / timed_steps * (self.steps - position.step) if timed_steps > 0 else None,
            ended=ended,
        )


def _optimizer_config(recipe: Recipe, steps: int, accumulation_steps: int) -> OptimizerConfig:
    return OptimizerConfig(
        recipe.learning_rate, recipe.weight_decay, int(recipe.warmup * steps), steps,
        recipe.clip_norm, accumulation_steps, frozen_layers=recipe.frozen_layers,
        layer_decay=recipe.layer_decay, label_smoothing=recipe.label_smoothing, ema_decay=recipe.ema_decay,
    )  # fmt: skip


MAX_POSITIVE_WEIGHT = 10.0
"""Largest weight of a rare category's articles in the loss of a multi-label network."""


def class_weights(kind: str, targets: Targets) -> Probabilities:
    """Return the weight of each category in the loss, shape (categories,).

    For "none", all are 1. For "balanced", they are the inverse of the categories' shares (King and Zeng, 2001), as in
    scikit-learn, and 1 on average over the articles. Those of a multi-label network weigh a category's own articles
    against all others, and are between 1 and `MAX_POSITIVE_WEIGHT`: the mean number of articles of a category divided
    by the category's own. Without these bounds, a category of one article would outweigh all others.
    """
    is_multi = targets.ndim > 1
    counts = targets.sum(axis=0) if is_multi else np.bincount(targets)
    if kind == "none":
        return np.ones(len(counts), dtype=np.float32)
    if is_multi:
        bounded = np.clip(counts.mean() / np.maximum(counts, 1), 1, MAX_POSITIVE_WEIGHT)
        return np.asarray(bounded, dtype=np.float32)
    return (len(targets) / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def predict(network: Network, data: TokenizedArticles, *, size: int) -> Probabilities:
    """Return the probabilities of every article, in the data's order, computed from `size` chunks at a time."""
    probabilities: Probabilities | None = None
    for batch in batches(data.pieces, data.chunk_targets, size=BatchSize(size)):
        of_batch = network.probabilities(batch.tokens, batch.mask)[: len(batch.rows)]
        if probabilities is None:
            probabilities = np.zeros((len(data.pieces), of_batch.shape[1]), dtype=np.float32)
        probabilities[batch.rows] = of_batch
    assert probabilities is not None, "there is always an article to validate on"
    return data.pooled(probabilities)
