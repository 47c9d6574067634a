"""Take in a classifier that was fine-tuned elsewhere, as a candidate."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from classifier import registry
from classifier.articles import Split, Texts
from classifier.exceptions import SettingsError
from classifier.inference import agreement
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.model import artefact, checkpoint, encoders, foreign_tokenizer, hub_model
from classifier.model.fine_tuned import FineTunedModel
from classifier.model.tokenization import Tokenization
from classifier.pipeline.training import calibration
from classifier.pipeline.use_case import use_case
from classifier.store import reads
from classifier.training import provenance
from classifier.training.spooled_articles import spool
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """The candidate that was made of a model from elsewhere."""

    model: str
    artefact: str
    source: str
    categories: tuple[str, ...]
    max_length: int
    confidence: str


@use_case
def import_model(
    workspace: Workspace,
    source: str,
    *,
    categories: str | None = None,
    max_length: int | None = None,
    target_precision: float | None = None,
) -> ImportedModel:
    """Write the model of a directory or hub id as an artefact of ours and register it.

    `categories` name its outputs, in their order and with commas, where its configuration does not. Its temperature
    and threshold are those of the validation articles that are here, if there are any.

    Raises:
        EncoderError: there is no such model, or it cannot be ours.
        SettingsError: the length is too short.
        EngineDisagreesError: the engine that would label does not give the network's answers.
    """
    if max_length is not None and max_length < 8:
        raise SettingsError(f"max length {max_length}: has to be at least 8 word pieces")
    directory = encoders.locate_encoder(source, cache=workspace.settings.home / "hub")
    names = [name.strip() for name in categories.split(",")] if categories else None
    name = registry.new_name()
    cache = workspace.settings.tokenizers_directory
    found = hub_model.read_hub_model(directory, cache=cache, categories=names, max_length=max_length)
    classifier = FineTunedClassifier(
        FineTunedModel(found.checkpoint, Tokenization.read(found.tokenizer, found.max_length), found.categories)
    )
    details = {
        "imported": {"source": source, "weights_sha256": _sha256(directory)},
        **provenance.describe_provenance(),
        "engine": agreement.check_agreement(
            classifier,
            _texts(workspace),
            reference=foreign_tokenizer.transformers_tokenizer(directory, found.max_length),
        ),
    }
    wanted = workspace.settings.target_precision if target_precision is None else target_precision
    with workspace.database.connect() as connection:
        validation = spool(reads.stream_annotated_articles(connection, "validation"), workspace.settings.home)
        clusters = calibration.clusters_of(connection, validation)
    sure = calibration.calibrate(classifier, validation, target_precision=wanted, clusters=clusters)
    files = artefact.write_artefact(
        workspace.models / name,
        replace(classifier.model, calibration=sure),
        tokenizer=found.tokenizer,
        details={"name": name, **details},
    )
    with workspace.database.begin() as connection:
        model = registry.register(connection, name, files, details)
    log.info("%s: imported from %s", name, source)
    return ImportedModel(model.name, model.artefact, source, model.categories, found.max_length, calibration.line(sure))


def _texts(workspace: Workspace) -> Iterable[str]:
    """Return the articles that engine and network are compared on: there may be none yet."""
    with workspace.database.connect() as connection:
        splits: tuple[Split, ...] = ("validation", "train")
        for split in splits:
            if found := spool(reads.stream_annotated_articles(connection, split), workspace.settings.home):
                return Texts(found)
    return agreement.SENTENCES


def _sha256(directory: Path) -> str:
    with (directory / checkpoint.WEIGHTS_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
