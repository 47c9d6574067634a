"""Import a classifier that was fine-tuned elsewhere, as a candidate."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from classifier import registry
from classifier.articles import Split
from classifier.exceptions import SettingsError
from classifier.inference import agreement
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.model import artefact, checkpoint, encoders, foreign_tokenizer, hub_model
from classifier.model.fine_tuned import FineTunedModel
from classifier.model.tokenization import Tokenization
from classifier.pipeline.training import calibration
from classifier.pipeline.use_case import use_case
from classifier.store import annotated_articles
from classifier.training import provenance
from classifier.training.spooled_articles import spool
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

MIN_LENGTH = 8
"""Minimum of a model's maximum length, in word pieces."""


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """The candidate that an import produced."""

    model: str
    artefact: str
    source: str
    categories: tuple[str, ...]
    max_length: int
    calibration: str


@use_case
def import_model(
    workspace: Workspace,
    source: str,
    *,
    categories: str | None = None,
    max_length: int | None = None,
    read_title: bool = True,
    target_precision: float | None = None,
) -> ImportedModel:
    """Write the model of a directory or hub id as an artefact and register it.

    `categories` are the names of its outputs, separated by commas and in their order, if its configuration has none.
    `read_title` says whether the model reads an article's title before its text.
    Temperature and thresholds are chosen on this workspace's validation articles, if there are any. The model must be
    of the task's kind, as its `problem_type` says.

    Raises:
        EncoderError: the model is not found, or is not a DistilBERT classifier that can be imported.
        SettingsError: `max_length` is too small.
        EngineDisagreesError: the engine that would label does not reproduce the network's predictions.
    """
    if max_length is not None and max_length < MIN_LENGTH:
        raise SettingsError(f"max length {max_length}: must be at least {MIN_LENGTH} word pieces")
    task = workspace.task
    if target_precision is None and task.kind == "single":
        target_precision = workspace.settings.target_precision
    directory = encoders.locate_encoder(source, cache=workspace.settings.home / "hub")
    names = [name.strip() for name in categories.split(",")] if categories else None
    name = registry.new_name()
    cache = workspace.settings.tokenizers_directory
    imported = hub_model.read_hub_model(directory, cache=cache, categories=names, max_length=max_length, kind=task.kind)
    tokenization = Tokenization.read(imported.tokenizer, imported.max_length, read_title=read_title)
    network = FineTunedModel(imported.checkpoint, tokenization, imported.categories, kind=task.kind)
    classifier = FineTunedClassifier(network)
    reference = foreign_tokenizer.transformers_tokenizer(directory, imported.max_length)
    details = {
        "imported": {"source": source, "weights_sha256": _sha256(directory)},
        **provenance.describe_provenance(),
        "engine": agreement.check_agreement(classifier, _texts(workspace, tokenization), reference=reference),
    }
    calibrated = _calibrate(workspace, classifier, target_precision, task.min_labels)
    files = artefact.write_artefact(
        workspace.models / name,
        replace(classifier.model, calibration=calibrated),
        tokenizer=imported.tokenizer,
        details={"name": name, **details},
    )
    with workspace.database.begin() as connection:
        model = registry.register(connection, name, files, details)
    log.info("%s: imported from %s", name, source)
    return ImportedModel(
        model=model.name,
        artefact=model.artefact,
        source=source,
        categories=model.categories,
        max_length=imported.max_length,
        calibration=calibration.summarize(calibrated, task.kind),
    )


def _calibrate(
    workspace: Workspace, classifier: FineTunedClassifier, target_precision: float | None, min_labels: int
) -> dict[str, Any]:
    with workspace.database.connect() as connection:
        validation = spool(annotated_articles.stream_split(connection, "validation"), workspace.settings.home)
        clusters = calibration.clusters_of(connection, validation)
        parents = calibration.parents_for_back_off(connection, back_off=workspace.settings.back_off)
    return calibration.calibrate(
        classifier,
        validation,
        target_precision=target_precision,
        clusters=clusters,
        min_labels=min_labels,
        parents=parents,
    )


def _texts(workspace: Workspace, tokenization: Tokenization) -> Iterable[str]:
    """Return the texts on which engine and network are compared; if there are no articles, fixed sentences."""
    splits: tuple[Split, ...] = ("validation", "train")
    with workspace.database.connect() as connection:
        for split in splits:
            articles = spool(annotated_articles.stream_split(connection, split), workspace.settings.home)
            if articles:
                return tokenization.texts(articles)
    return agreement.SENTENCES


def _sha256(directory: Path) -> str:
    with (directory / checkpoint.WEIGHTS_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
