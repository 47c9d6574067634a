"""Which test articles a model knows from its training, by its snapshot.

A split is decided once for a cluster of near-duplicates, but a source that brings splits of its own can put a twin
of an old train article into the test split. Later trainings leave the train article out; a model that was trained
before that has seen it. So what counts against a model is its own snapshot, and those of the models that it started
from: the same text, or a text of the same cluster.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from classifier.articles import Model
from classifier.store import model_rows, near_duplicate_clusters
from classifier.training import data_snapshot
from classifier.training.data_snapshot import SnapshotTexts

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingExposure:
    """Ids of the test articles that a model was trained on, themselves or a near-duplicate of them.

    `unknown` are models without a snapshot: imported, pruned, or trained before there were snapshots.
    """

    articles: frozenset[int]
    unknown: tuple[str, ...]


def find_exposure(connection: Connection, models: Sequence[Model], articles: Mapping[int, bytes]) -> TrainingExposure:
    """Return which of the articles, ids with the hashes of their texts, one of the models knows from training."""
    hashes: set[bytes] = set()
    fingerprints: set[bytes] = set()
    unknown = []
    for model in _with_starts(connection, models):
        texts = data_snapshot.read_texts(Path(model.artefact))
        if texts is None:
            unknown.append(model.name)
            continue
        hashes |= texts.hashes
        fingerprints |= _fingerprints(connection, texts)
    known = {one for one, text_hash in articles.items() if text_hash in hashes}
    known |= near_duplicate_clusters.articles_near(connection, list(articles), fingerprints)
    if unknown:
        log.info("not known what was trained on, for want of a snapshot: %s", ", ".join(unknown))
    return TrainingExposure(frozenset(known), tuple(unknown))


def _with_starts(connection: Connection, models: Sequence[Model]) -> Iterator[Model]:
    """Yield each model once, and those that they started from."""
    left, met = list(models), set()
    while left:
        model = left.pop(0)
        if model.id in met:
            continue
        met.add(model.id)
        yield model
        start = model_rows.training(connection, model.id).get("from")
        if start and (found := model_rows.by_name(connection, start)):
            left.append(found)


def _fingerprints(connection: Connection, texts: SnapshotTexts) -> set[bytes]:
    """Return the texts' fingerprints; a snapshot of an older version has those of texts that are still the same."""
    if texts.fingerprints is not None:
        return set(texts.fingerprints)
    return near_duplicate_clusters.unchanged_fingerprints(connection, texts.ids, texts.text_hashes)
