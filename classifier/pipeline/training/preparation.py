"""Prepare what a training needs before its first step: articles, weights, tokenization and categories."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from classifier.articles import TaskKind
from classifier.model.checkpoint import Checkpoint
from classifier.model.targets import label_matrix, log_odds
from classifier.model.tokenization import Tokenization
from classifier.pipeline.training.starting_point import StartingPoint
from classifier.training import training_state
from classifier.training.learning_rates import unsuitable_learning_rate
from classifier.training.recipes import Recipe
from classifier.training.spooled_articles import SpooledArticles
from classifier.training.token_files import Parts
from classifier.training.training_state import TokenizedArticles

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreparedTraining:
    """The articles, weights and tokenization of a training with one recipe."""

    start: StartingPoint
    recipe: Recipe
    train: SpooledArticles
    validation: SpooledArticles
    categories: tuple[str, ...]
    pretrained: Checkpoint
    tokenizer: Path
    tokenization: Tokenization
    kind: TaskKind = "single"

    @property
    def parts(self) -> Parts:
        """The articles by part, as token files have them."""
        return {"train": self.train, "validation": self.validation}

    def key(self, train: TokenizedArticles, validation: TokenizedArticles, recipe: Recipe | None = None) -> str:
        """Return the key of the training with its tokenized parts, or of another recipe on the same parts."""
        from classifier.model.keras.backend import backend
        from classifier.training.fit import dtype_of

        recipe = recipe or self.recipe
        arithmetic = f"{backend()} {dtype_of(recipe)}"
        return training_state.training_key(
            self.pretrained, train, validation, recipe, categories=self.categories, arithmetic=arithmetic
        )


def prepare(
    start: StartingPoint,
    recipe: Recipe,
    train: SpooledArticles,
    validation: SpooledArticles,
    *,
    kind: TaskKind = "single",
) -> PreparedTraining:
    """Read the weights and the tokenizer of the starting point, and warn if the learning rate does not suit them."""
    categories = tuple(sorted({*chain.from_iterable(train.label_sets)}))
    biases = log_odds(label_matrix(train.label_sets, categories)) if kind == "multi" else None
    pretrained = start.checkpoint(categories, seed=recipe.seed, biases=biases)
    dim, is_model = pretrained.shape.dim, start.model is not None
    if warning := unsuitable_learning_rate(recipe.learning_rate, dim, fine_tuned=is_model):
        log.warning("recipe %s: %s", recipe.name, warning)
    tokenizer = start.tokenizer()
    max_length = min(recipe.max_length, pretrained.shape.max_position_embeddings)
    tokenization = Tokenization.read(tokenizer, max_length, recipe.chunking, read_title=recipe.read_title)
    return PreparedTraining(start, recipe, train, validation, categories, pretrained, tokenizer, tokenization, kind)
