"""Train a candidate on the annotated articles of the train split."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from classifier import registry
from classifier.inference import agreement
from classifier.inference.agreement import Agreement
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.model import artefact
from classifier.model.fine_tuned import FineTunedModel
from classifier.pipeline.erasure.article_copies import copies_articles
from classifier.pipeline.monitoring import category_coverage
from classifier.pipeline.training import calibration, ensembling, preparation, session, starting_point, training_data
from classifier.pipeline.training.preparation import PreparedTraining
from classifier.pipeline.training.session import TrainingSession
from classifier.pipeline.training.starting_point import SkippedTraining
from classifier.pipeline.use_case import use_case
from classifier.store import model_rows
from classifier.training import data_snapshot, provenance
from classifier.training.recipes import Recipe
from classifier.workspace import Workspace

if TYPE_CHECKING:  # Keras takes seconds to import: only when it is needed
    from classifier.training.fit import FittedModel, TrainingProgress

__all__ = ["SkippedTraining", "Trained", "train"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """The candidate that a training produced. `seconds` includes attempts that were killed.

    `categories_without_train_articles` are annotated categories that the model cannot predict, with the number of their
    annotated articles.
    """

    model: str
    artefact: str
    train_articles: int
    validation_articles: int
    categories: tuple[str, ...]
    best_epoch: int
    validation_macro_f1: float
    dtype: str
    seconds: float
    engine: str
    resumed_from_step: int
    calibration: str = ""
    ensemble: str = ""
    categories_without_train_articles: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """The trained model with what was measured of it on the validation split, ready to be written."""

    model: FineTunedModel
    fitted: FittedModel
    agreement: dict[str, Any]


@use_case
@copies_articles
def train(
    workspace: Workspace,
    recipe: Recipe,
    *,
    encoder_name: str | None = None,
    start_from: str | None = None,
    min_new_annotations: int = 0,
    target_precision: float | None = None,
    on_progress: Callable[[TrainingProgress], None] = lambda _: None,
) -> Trained | SkippedTraining:
    """Train a model, write its artefact and register it as a candidate.

    Training starts from the encoder or, if `start_from` names a model such as "champion", from that model. If fewer
    than `min_new_annotations` annotations are new since the last model that was decided on, nothing is trained. If a
    training of the same articles and recipe was killed, it is resumed. The model's threshold is chosen for
    `target_precision`, by default that of the settings. A multi-label model's thresholds are chosen for it only if it
    is given, and otherwise for the highest F1.

    Raises:
        TrainingInProgressError: another process runs the same training.
        EncoderError: the encoder cannot be loaded.
        ModelNotFoundError: there is no model with that name.
        TrainingDataError: there are no annotated articles, or they are all of one category.
        EngineDisagreesError: the engine that would label does not reproduce the network's predictions.
    """
    task = workspace.task
    if target_precision is None and task.kind == "single":
        target_precision = workspace.settings.target_precision
    start = starting_point.find_starting_point(workspace, encoder_name, start_from)
    with starting_point.kept_starting_point(workspace, start):
        train, validation = training_data.read_training_data(workspace, task.kind)
        if skipped := starting_point.skip_training(workspace, (train, validation), min_new_annotations):
            return skipped
        prepared = preparation.prepare(start, recipe, train, validation, kind=task.kind)
        with session.open_session(workspace, prepared) as training:
            fitted = session.fit(training, prepared, on_progress)
            candidate = _calibrate(workspace, prepared, fitted, target_precision, task.min_labels)
            trained = _register(workspace, prepared, training, candidate)
            training.checkpoints.discard()
        return trained


def _calibrate(
    workspace: Workspace,
    prepared: PreparedTraining,
    fitted: FittedModel,
    target_precision: float | None,
    min_labels: int,
) -> _Candidate:
    """Check the engine that would label, and choose ensemble, temperature and thresholds on the validation split."""
    train, validation = prepared.train, prepared.validation
    checkpoint = replace(prepared.pretrained, weights=fitted.weights)
    network = FineTunedModel(checkpoint, prepared.tokenization, prepared.categories, kind=prepared.kind)
    classifier = FineTunedClassifier(network)
    agreed = agreement.check_agreement(classifier, prepared.tokenization.texts(validation))
    ensemble, kind = None, prepared.recipe.ensemble
    if kind != "none":
        ensemble = ensembling.fit_ensemble(classifier, train, validation, kind)
    with workspace.database.connect() as connection:
        clusters = calibration.clusters_of(connection, validation)
        parents = calibration.parents_for_back_off(connection, back_off=workspace.settings.back_off)
    calibrated = calibration.calibrate(
        classifier.with_ensemble(ensemble),
        validation,
        target_precision=target_precision,
        clusters=clusters,
        min_labels=min_labels,
        parents=parents,
    )
    if ensemble:
        ensemble = ensembling.refit_with_validation(ensemble, network, train, validation)
    return _Candidate(replace(classifier.model, calibration=calibrated, ensemble=ensemble), fitted, agreed)


def _register(
    workspace: Workspace, prepared: PreparedTraining, training: TrainingSession, candidate: _Candidate
) -> Trained:
    """Write the artefact and its row, unless an attempt that was killed has already written them."""
    name = training.checkpoints.model_name(registry.new_name())
    model, fitted = candidate.model, candidate.fitted
    snapshot = data_snapshot.encode_snapshot(prepared.parts)
    details = _details(prepared, candidate, snapshot)
    if (workspace.models / name).exists():
        files = artefact.read_artefact(workspace.models / name)
    else:
        files = artefact.write_artefact(
            workspace.models / name,
            model,
            tokenizer=prepared.tokenizer,
            details={"name": name, **details},
            extra_files={data_snapshot.FILE: snapshot, **training.curve_files(name, fitted)},
        )
    with workspace.database.begin() as connection:
        row = model_rows.by_name(connection, name) or registry.register(connection, name, files, details)
        untrained = category_coverage.without_train_articles(connection, prepared.categories)
    if warning := category_coverage.describe_untrained(untrained):
        log.warning("%s", warning)
    training.recorder.finish(model_id=row.id)
    return Trained(
        model=row.name,
        artefact=row.artefact,
        train_articles=len(prepared.train),
        validation_articles=len(prepared.validation),
        categories=model.categories,
        best_epoch=fitted.best_epoch,
        validation_macro_f1=fitted.history[fitted.best_epoch - 1].macro_f1,
        dtype=fitted.dtype,
        seconds=round(fitted.seconds, 1),
        engine=str(Agreement(**candidate.agreement)),
        resumed_from_step=fitted.resumed_from,
        calibration=calibration.summarize(files.calibration, model.kind),
        ensemble=ensembling.summarize(model.ensemble) if model.ensemble else "",
        categories_without_train_articles=untrained,
    )


def _details(prepared: PreparedTraining, candidate: _Candidate, snapshot: bytes) -> dict[str, Any]:
    """Return what the manifest and the database store about how the model was produced."""
    train, validation = prepared.train, prepared.validation
    return {
        "encoder": prepared.start.encoder,
        "from": prepared.start.model,
        "recipe": asdict(prepared.recipe),
        "data": {
            "articles": len(train),
            "validation_articles": len(validation),
            "by_category": dict(Counter(chain.from_iterable(train.label_sets))),
            "sha256": data_snapshot.sha256(train),
            "validation_sha256": data_snapshot.sha256(validation),
            "snapshot": data_snapshot.FILE,
            "snapshot_sha256": hashlib.sha256(snapshot).hexdigest(),
        },
        "training": candidate.fitted.summary(),
        **provenance.describe_provenance(),
        "engine": candidate.agreement,
    }
