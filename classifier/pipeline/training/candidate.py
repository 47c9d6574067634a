"""Train a candidate on the annotated articles of the train split."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier import registry
from classifier.articles import AnnotatedArticle, Texts
from classifier.inference import agreement
from classifier.inference.agreement import Agreement
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.model import artefact
from classifier.model.fine_tuned import FineTunedModel
from classifier.model.tokenization import Tokenization
from classifier.pipeline.training import calibration, ensembling, session, starting_point, training_data
from classifier.pipeline.training.session import TrainingSession
from classifier.pipeline.training.starting_point import SkippedTraining, StartingPoint
from classifier.pipeline.use_case import use_case
from classifier.store import reads
from classifier.training import data_snapshot, provenance
from classifier.training.recipes import Recipe
from classifier.training.spooled_articles import categories_of
from classifier.workspace import Workspace

if TYPE_CHECKING:  # Keras takes seconds to import: only when it is needed
    from classifier.training.fit import FittedModel, Progress

__all__ = ["SkippedTraining", "Trained", "train"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """The candidate that a training made. `seconds` counts the attempts that were killed, too."""

    model: str
    artefact: str
    train_articles: int
    validation_articles: int
    categories: tuple[str, ...]
    best_epoch: int
    validation_macro_f1: float
    precision: str
    seconds: float
    engine: str
    resumed_from_step: int
    confidence: str = ""
    ensemble: str = ""


@use_case
def train(
    workspace: Workspace,
    recipe: Recipe,
    *,
    encoder_name: str | None = None,
    start_from: str | None = None,
    min_new_annotations: int = 0,
    target_precision: float | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Trained | SkippedTraining:
    """Train, write the artefact and register it as a candidate.

    It starts from the encoder, or from the model of the name `start_from`, such as "champion". It does not where
    fewer than `min_new_annotations` have come since the last training that was decided on. A training of the same
    articles and recipe that was killed is gone on with. `target_precision` is what the model's threshold is chosen
    for, the settings' one without it.

    Raises:
        TrainingUnderWayError: another process trains the same.
        EncoderError: the encoder cannot be loaded.
        ModelNotFoundError: there is no such model.
        TrainingDataError: there are no annotated articles, or they are all of one category.
        EngineDisagreesError: the engine that would label does not give the network's answers.
    """
    start = starting_point.find_starting_point(workspace, encoder_name, start_from)
    with starting_point.kept_starting_point(workspace, start):
        return _train(workspace, start, recipe, min_new_annotations, target_precision, on_progress)


def _train(
    workspace: Workspace,
    start: StartingPoint,
    recipe: Recipe,
    min_new_annotations: int,
    target_precision: float | None,
    on_progress: Callable[[Progress], None],
) -> Trained | SkippedTraining:
    train, validation = training_data.read_training_data(workspace)
    if skipped := starting_point.skip_training(workspace, (train, validation), min_new_annotations):
        return skipped
    categories = tuple(sorted({*train.categories}))
    pretrained = start.checkpoint(categories, seed=recipe.seed)
    longest = min(recipe.max_length, pretrained.shape.max_position_embeddings)
    tokenizer = start.tokenizer()
    tokenization = Tokenization.read(tokenizer, longest, recipe.chunking)
    content = data_snapshot.encode_snapshot({"train": train, "validation": validation})
    with session.open_session(workspace, pretrained, tokenization, train, validation, categories, recipe) as training:
        fitted = session.fit(training, pretrained, categories, recipe, on_progress)
        details = _details(start, recipe, train, validation, content, fitted)
        fine_tuned = replace(pretrained, weights=fitted.weights)
        classifier = FineTunedClassifier(FineTunedModel(fine_tuned, tokenization, categories))
        details["engine"] = agreement.check_agreement(classifier, Texts(validation))
        wanted = workspace.settings.target_precision if target_precision is None else target_precision
        ensemble = None
        if recipe.ensemble != "none":
            ensemble = ensembling.fit_ensemble(classifier, train, validation, recipe.ensemble)
        with workspace.database.connect() as connection:
            clusters = calibration.clusters_of(connection, validation)
        chosen = calibration.calibrate(
            classifier.with_ensemble(ensemble), validation, target_precision=wanted, clusters=clusters
        )
        model = replace(
            classifier.model,
            calibration=chosen,
            ensemble=ensemble and ensembling.refit_temperature(ensemble, train, validation),
        )
        trained = _register(workspace, model, tokenizer, fitted, details, content, training)
        training.checkpoints.discard()
    return trained


def _details(
    start: StartingPoint,
    recipe: Recipe,
    train: Sequence[AnnotatedArticle],
    validation: Sequence[AnnotatedArticle],
    content: bytes,
    fitted: FittedModel,
) -> dict[str, Any]:
    """Return what is kept of the training; `content` is its snapshot."""
    return {
        "encoder": start.encoder,
        "from": start.model,
        "recipe": asdict(recipe),
        "data": {
            "articles": len(train),
            "validation_articles": len(validation),
            "by_category": dict(Counter(categories_of(train))),
            "sha256": data_snapshot.sha256(train),
            "validation_sha256": data_snapshot.sha256(validation),
            "snapshot": data_snapshot.FILE,
            "snapshot_sha256": hashlib.sha256(content).hexdigest(),
        },
        "training": fitted.summary(),
        **provenance.describe_provenance(),
    }


def _register(
    workspace: Workspace,
    model: FineTunedModel,
    tokenizer: Path,
    fitted: FittedModel,
    details: dict[str, Any],
    content: bytes,
    training: TrainingSession,
) -> Trained:
    """Write the artefact and its row; what an attempt that was killed has done of it already is taken as it is."""
    name = training.checkpoints.name(registry.new_name())
    directory = workspace.models / name
    if directory.exists():
        files = artefact.read_artefact(directory)
    else:
        files = artefact.write_artefact(
            directory,
            model,
            tokenizer=tokenizer,
            details={"name": name, **details},
            extra_files={data_snapshot.FILE: content, **training.pictures(name, fitted)},
        )
    with workspace.database.begin() as connection:
        row = reads.model(connection, name) or registry.register(connection, name, files, details)
    training.recorder.finish(model_id=row.id)
    return Trained(
        model=row.name,
        artefact=row.artefact,
        train_articles=details["data"]["articles"],
        validation_articles=details["data"]["validation_articles"],
        categories=model.categories,
        best_epoch=fitted.best_epoch,
        validation_macro_f1=fitted.history[fitted.best_epoch - 1].macro_f1,
        precision=fitted.precision,
        seconds=round(fitted.seconds, 1),
        engine=str(Agreement(**details["engine"])),
        resumed_from_step=fitted.resumed_from,
        confidence=calibration.line(files.calibration),
        ensemble=ensembling.line(model.ensemble) if model.ensemble else "",
    )
