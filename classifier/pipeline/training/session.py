"""A training while it runs: its lock, its saved states, and what is seen of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from classifier.articles import AnnotatedArticle, Texts
from classifier.model.checkpoint import Checkpoint
from classifier.model.tokenization import Tokenization
from classifier.pipeline.training import metrics_recorder
from classifier.pipeline.training.metrics_recorder import Recorder
from classifier.training import checkpoints, curves, token_files, training_state
from classifier.training.checkpoints import Checkpoints
from classifier.training.recipes import Recipe
from classifier.training.tensorboard import EventWriter
from classifier.training.training_state import TokenizedArticles
from classifier.workspace import Workspace

if TYPE_CHECKING:  # Keras takes seconds to import: only when it is needed
    from classifier.training.fit import FittedModel, Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingSession:
    """A training that is under way: its data, and what watches over it."""

    train: TokenizedArticles
    validation: TokenizedArticles
    checkpoints: Checkpoints
    recorder: Recorder

    def pictures(self, name: str, fitted: FittedModel) -> dict[str, bytes]:
        """Return the learning curves, and TensorBoard's files of every attempt, by file name."""
        events = {path.name: path.read_bytes() for path in sorted(self.checkpoints.directory.glob("events.*"))}
        return {"learning-curves.svg": curves.svg(fitted.losses, fitted.history, title=name).encode(), **events}


@contextmanager
def open_session(
    workspace: Workspace,
    pretrained: Checkpoint,
    tokenization: Tokenization,
    train: Sequence[AnnotatedArticle],
    validation: Sequence[AnnotatedArticle],
    categories: tuple[str, ...],
    recipe: Recipe,
) -> Iterator[TrainingSession]:
    """Tokenise, and hold the lock and the records of what is trained.

    Raises:
        TrainingUnderWayError: another process trains the same.
    """
    from classifier.model.keras.backend import backend
    from classifier.training.fit import dtype_of

    arithmetic = f"{backend()} {dtype_of(recipe)}"
    settings = workspace.settings
    minutes, steps = settings.checkpoint_minutes, settings.checkpoint_steps
    root, parts = settings.checkpoints_directory, {"train": train, "validation": validation}
    with token_files.opened(root, tokenization, parts, categories) as tokens:
        learnt, validated = tokens.train, tokens.validation
        key = training_state.key(pretrained, learnt, validated, recipe, categories=categories, dtype=arithmetic)
        with (
            checkpoints.opened(root, key, every_s=60 * minutes, every_steps=steps) as saved,
            metrics_recorder.record_metrics(workspace.database, key, epochs=recipe.epochs) as recorder,
        ):
            tokens.keep(saved.directory)
            yield TrainingSession(learnt, validated, saved, recorder)


def fit(
    training: TrainingSession,
    pretrained: Checkpoint,
    categories: tuple[str, ...],
    recipe: Recipe,
    on_progress: Callable[[Progress], None],
) -> FittedModel:
    """Train to the end, or from the last saved state, while its figures are recorded."""
    from classifier.training import fit

    data = training.train
    log.info(
        "training on %d articles of %d categories, in %d chunks",
        len(data.targets), len(categories), len(data.pieces),
    )  # fmt: skip
    with closing(EventWriter(training.checkpoints.directory)) as events:

        def watch(now: Progress) -> None:
            for one in (on_progress, training.recorder, events):
                one(now)

        return fit.fit_classifier(
            pretrained,
            training.train,
            training.validation,
            recipe,
            categories=len(categories),
            checkpoints=training.checkpoints,
            on_progress=watch,
        )


def tokenized(
    tokenization: Tokenization, articles: Sequence[AnnotatedArticle], categories: tuple[str, ...]
) -> TokenizedArticles:
    """Turn articles into what the network gets to see of them."""
    targets = np.array([categories.index(article.category) for article in articles], dtype=np.int64)
    chunks = tokenization.chunks(Texts(articles))
    return TokenizedArticles(chunks.pieces, targets, chunks.owners, tokenization.mask_id, chunks.weights)
