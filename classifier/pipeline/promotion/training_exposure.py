"""Which test articles a model was trained on, according to its snapshot.

A split is decided once for a cluster of near-duplicates, but a source that brings its own splits can put a
near-duplicate of an old train article into the test split. Later trainings leave the train article out, but a model
that was trained before has seen it. So a test article is excluded if its text, or a text of the same cluster, is in the
model's snapshot or in that of a model that it started from.
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
    """Ids of the test articles that a model was trained on, or on a near-duplicate of.

    `unknown` are models without a snapshot: imported, pruned, or trained by an older version.
    """

    articles: frozenset[int]
    unknown: tuple[str, ...]


def find_exposure(connection: Connection, models: Sequence[Model], articles: Mapping[int, bytes]) -> TrainingExposure:
    """Return on which of the articles (ids with the hashes of their texts) one of the models was trained."""
    hashes: set[bytes] = set()
    fingerprints: set[bytes] = set()
    unknown = []
    for model in _with_starting_points(connection, models):
        texts = data_snapshot.read_texts(Path(model.artefact))
        if texts is None:
            unknown.append(model.name)
            continue
        hashes |= texts.hashes
        fingerprints |= _fingerprints(connection, texts)
    exposed = {article_id for article_id, text_hash in articles.items() if text_hash in hashes}
    exposed |= near_duplicate_clusters.articles_near(connection, list(articles), fingerprints)
    if unknown:
        log.info("unknown training data, because there is no snapshot: %s", ", ".join(unknown))
    return TrainingExposure(frozenset(exposed), tuple(unknown))


def _with_starting_points(connection: Connection, models: Sequence[Model]) -> Iterator[Model]:
    """Yield each model, and the models that they started from, once."""
    remaining, seen = list(models), set()
    while remaining:
        model = remaining.pop(0)
        if model.id in seen:
            continue
        seen.add(model.id)
        yield model
        name = model_rows.training(connection, model.id).get("from")
        if name and (start := model_rows.by_name(connection, name)):
            remaining.append(start)


def _fingerprints(connection: Connection, texts: SnapshotTexts) -> set[bytes]:
    """Return the texts' fingerprints; for a snapshot of an older version, only those of unchanged texts."""
    if texts.fingerprints is not None:
        return set(texts.fingerprints)
    return near_duplicate_clusters.unchanged_fingerprints(connection, texts.ids, texts.text_hashes)
