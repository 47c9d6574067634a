"""Run a training with its lock, its saved states, its recorded metrics and its learning curves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier.articles import AnnotatedArticle, TaskKind
from classifier.model.targets import encode_targets
from classifier.model.tokenization import Tokenization
from classifier.pipeline.training import metrics_recorder
from classifier.pipeline.training.metrics_recorder import MetricsRecorder
from classifier.pipeline.training.preparation import PreparedTraining
from classifier.training import checkpoints, curves, token_files
from classifier.training.checkpoints import Checkpoints
from classifier.training.spooled_articles import label_sets_of
from classifier.training.tensorboard import EventWriter
from classifier.training.training_state import TokenizedArticles
from classifier.workspace import Workspace

if TYPE_CHECKING:  # Keras takes seconds to import: only when it is needed
    from classifier.training.fit import FittedModel, TrainingProgress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingSession:
    """A running training: its tokenized articles, its saved states and the recorder of its metrics."""

    train: TokenizedArticles
    validation: TokenizedArticles
    checkpoints: Checkpoints
    recorder: MetricsRecorder

    def curve_files(self, name: str, fitted: FittedModel) -> dict[str, bytes]:
        """Return the learning curves and TensorBoard's files of every attempt, by file name."""
        events = {path.name: path.read_bytes() for path in sorted(self.checkpoints.directory.glob("events.*"))}
        return {"learning-curves.svg": curves.svg(fitted.losses, fitted.history, title=name).encode(), **events}


@contextmanager
def open_session(workspace: Workspace, prepared: PreparedTraining) -> Iterator[TrainingSession]:
    """Tokenize the articles, take the training's lock, open its records, and yield the session.

    Raises:
        TrainingInProgressError: another process runs the same training.
    """
    settings = workspace.settings
    root = settings.checkpoints_directory
    with token_files.open_token_files(
        root, prepared.tokenization, prepared.parts, prepared.categories, prepared.kind
    ) as tokens:
        key = prepared.key(tokens.train, tokens.validation)
        with (
            checkpoints.open_checkpoints(
                root, key, every_s=60 * settings.checkpoint_minutes, every_steps=settings.checkpoint_steps
            ) as saved,
            metrics_recorder.record_metrics(workspace.database, key, epochs=prepared.recipe.epochs) as recorder,
        ):
            tokens.keep(saved.directory)
            yield TrainingSession(tokens.train, tokens.validation, saved, recorder)


def fit(
    session: TrainingSession, prepared: PreparedTraining, on_progress: Callable[[TrainingProgress], None]
) -> FittedModel:
    """Train from the last saved state, if any, to the end, and record the metrics meanwhile."""
    from classifier.training.fit import fit_classifier

    log.info(
        "training on %d articles of %d categories, in %d chunks",
        len(session.train.targets), len(prepared.categories), len(session.train.pieces),
    )  # fmt: skip
    with closing(EventWriter(session.checkpoints.directory)) as events:

        def report(progress: TrainingProgress) -> None:
            for receiver in (on_progress, session.recorder, events):
                receiver(progress)

        return fit_classifier(
            prepared.pretrained,
            session.train,
            session.validation,
            prepared.recipe,
            categories=len(prepared.categories),
            checkpoints=session.checkpoints,
            on_progress=report,
        )


def tokenize_articles(
    tokenization: Tokenization,
    articles: Sequence[AnnotatedArticle],
    categories: tuple[str, ...],
    kind: TaskKind = "single",
) -> TokenizedArticles:
    """Return the articles as the network sees them."""
    targets = encode_targets(label_sets_of(articles), categories, kind)
    chunks = tokenization.chunks(tokenization.texts(articles))
    return TokenizedArticles(chunks.pieces, targets, chunks.owners, tokenization.mask_id, chunks.weights)
