"""A call of every function of the store, so that every statement of the project can be looked at.

The arguments are of the size that use cases give: a page of the queue, a chunk of a file, an evaluation's articles.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, insert, literal, select, text

from classifier.articles import Model, QueuedArticle
from classifier.external_table import definition, statements
from classifier.external_table.definition import ExternalTable
from classifier.external_table.statements import Label, Span
from classifier.ingest.readers import Columns
from classifier.pipeline.ingest import units
from classifier.settings import Settings
from classifier.store import (
    churn_samples,
    drift_runs,
    evaluations,
    ingest_runs,
    labelling_queue,
    model_locks,
    near_duplicate_clusters,
    promotions,
    reads,
    reviews,
    tables,
    text_changes,
    training_runs,
    writes,
)
from classifier.store.evaluations import ArticlePrediction
from classifier.store.labelling_queue import Selection
from classifier.workspace import Workspace
from tests.support.synthetic import write_csv

PAGE, CHUNK, EVALUATED = 100, 100, 100
SOURCE = "synthetic"
THEIRS = ExternalTable("id", "text", table="articles", out="labels_of_a_call")


@dataclass(frozen=True)
class Database:
    """A connection to a database of `scale_database`, with so many articles, and what the calls need of it."""

    connection: Connection
    articles: int

    @property
    def champion(self) -> Model:
        return self._model("champion")

    @property
    def candidate(self) -> Model:
        return self._model("candidate")

    @property
    def week_ago(self) -> datetime:
        return datetime.now(UTC) - timedelta(days=7)

    def ids(self, count: int) -> list[int]:
        """Return ids from all over the table."""
        return list(range(1, self.articles + 1, max(1, self.articles // count)))[:count]

    def fingerprints(self, count: int) -> list[bytes]:
        """Return fingerprints, half of which are there."""
        present = select(tables.articles.c.fingerprint).where(tables.articles.c.id.in_(self.ids(count // 2)))
        found = [bytes(one) for one in self.connection.scalars(present)]
        return found + [number.to_bytes(32, "big") for number in range(1, count - len(found) + 1)]

    def pair(self) -> statements.Pair:
        """Return the articles as a table of somebody else's, with a table of labels of half of them."""
        pair = definition.find_table(self.connection, THEIRS)
        definition.create_labels(self.connection, pair)
        values = {"id": tables.articles.c.id, "model": literal("m"), "labelled_at": func.now()}
        half = select(*values.values()).where(tables.articles.c.id <= self.articles // 2)
        self.connection.execute(insert(pair.labels).from_select(list(values), half))
        self.connection.execute(text("ANALYZE labels_of_a_call"))
        return pair

    def _model(self, status: str) -> Model:
        name = self.connection.scalar(select(tables.models.c.name).where(tables.models.c.status == status))
        found = reads.model(self.connection, str(name))
        assert found is not None
        return found


Call = Callable[[Connection, Database], Any]


def _ingest(connection: Connection, database: Database) -> None:
    """Ingest new, changed and bad rows; the changes stay, as the use case commits."""
    numbers = [*database.ids(CHUNK), *range(database.articles + 1, database.articles + CHUNK)]
    old = connection.execute(select(tables.articles.c.text).where(tables.articles.c.id == 7)).scalar_one()
    rows = [{"id": f"a{n}", "text": f"{old} {n}", "category": "" if n % 5 else "category 0001"} for n in numbers]
    bad = [{"id": f"b{n}", "text": "", "category": ""} for n in range(5)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "new.csv"
        write_csv(file, [*rows, *bad])
        workspace = Workspace(connection.engine, Settings(home=Path(folder), _env_file=None))
        for _ in range(2):
            units.ingest_files(workspace, str(file), Columns("text", "category", "id"), source=SOURCE)


def _reread(connection: Connection, _: Database) -> None:
    """Do what follows the reading of a feed, which never shows all that it has."""
    writes.stage_articles(connection)
    ingest_runs.delete_resolved(connection, SOURCE, "/inbox/1.csv", whole=False)


def _change_a_little(connection: Connection, database: Database) -> None:
    writes.stage_articles(connection)
    ids = database.ids(CHUNK)
    text_changes.add(connection, ids, [1] * len(ids), [b""] * len(ids), [b""] * len(ids))


def _cluster(connection: Connection, database: Database) -> None:
    """Write the clusters of a chunk's new texts."""
    new = [number.to_bytes(32, "big") for number in range(1, CHUNK)]
    ids = [int.from_bytes(one[-8:], "big") for one in new]
    near_duplicate_clusters.insert_clusters(connection, ids, ["train"] * len(ids))
    near_duplicate_clusters.insert_splits(connection, new, ["train"] * len(ids), ids)
    near_duplicate_clusters.insert_bridges(connection, new, ids)


def _label(connection: Connection, database: Database) -> None:
    """Label a page as `classifier.labelling.worker` does."""
    model = database.champion
    labelling_queue.claim(connection, model.id, PAGE, Selection())
    page = [QueuedArticle(one, 1, "") for one in database.ids(PAGE)]
    width = len(model.categories)
    writes.write_predictions(connection, model, page, np.full((len(page), width), 1 / width, np.float32))
    writes.add_dead_letter(connection, model.id, page[0], "made up")


def _evaluate(connection: Connection, database: Database) -> None:
    model, ids = database.candidate, database.ids(EVALUATED)
    values = {"data_sha256": "", "articles": 1, "accuracy": 1.0, "macro_f1": 1.0, "metrics": {}}
    key = writes.add_evaluation(connection, model.id, "test", values)
    columns: dict[str, list[Any]] = {
        "ids": ids,
        "hashes": [b""] * len(ids),
        "words": [1] * len(ids),
        "clusters": [1] * len(ids),
        "categories": ["a"] * len(ids),
        "baselines": ["a"] * len(ids),
        "gflops": [1.0] * len(ids),
    }
    evaluations.lock(connection, model.id)
    evaluations.add_predictions(connection, key, columns, np.full((len(ids), 2), 0.5, np.float32))
    answers = {number.to_bytes(32, "big"): ArticlePrediction(np.full(2, 0.5, np.float32), 1.0, 1.0) for number in ids}
    evaluations.add_unfinished_answers(connection, model.id, "an engine", answers)
    evaluations.known_answers(connection, model.id, "an engine", dict(zip(ids, answers, strict=True)))
    evaluations.delete_unfinished_answers(connection, model.id)


def _review(connection: Connection, database: Database) -> None:
    ids = database.ids(CHUNK)
    columns = {
        "ids": ids,
        "revisions": [1] * len(ids),
        "reasons": ["audit"] * len(ids),
        "categories": ["a"] * len(ids),
        "confidences": [0.5] * len(ids),
    }
    reviews.lock(connection)
    reviews.enqueue(connection, database.champion.id, columns)
    answers = {
        "ids": ids,
        "revisions": [1] * len(ids),
        "categories": ["category 0001"] * len(ids),
        "annotators": ["ann"] * len(ids),
        "comments": [None] * len(ids),
    }
    reviews.annotate(connection, answers)
    reviews.decide(connection, ids[0], "category 0001", "ann", None, 1)


def _train(connection: Connection, database: Database) -> None:
    run = training_runs.start(connection, "a key", steps=10, epochs=1, from_step=0)
    point = {"step": 1, "epoch": 1, "loss": 1.0, "accuracy": None, "macro_f1": None, "seconds": 1.0}
    training_runs.record(connection, run, [point], {"step": 1})
    training_runs.finish(connection, "a key", run, model_id=database.candidate.id)
    training_runs.start(connection, "a key", steps=10, epochs=1, from_step=1)
    training_runs.points(connection, 1)


def _promote(connection: Connection, database: Database) -> None:
    champion, candidate = database.champion, database.candidate
    writes.lock_champion(connection)
    writes.register_model(connection, name="new", artefact="", manifest_sha256="", categories=("a",), training={})
    writes.set_threshold(connection, candidate.id, 0.5, {})
    writes.make_champion(connection, candidate.id)
    writes.set_status(connection, champion.id, "retired")
    writes.record_promotion(
        connection, candidate.id, previous_id=champion.id, verdict="promoted", reason="", decided_by=""
    )
    labelling_queue.enqueue_backfill_chunk(connection, candidate.id, CHUNK)


def _lock_files(connection: Connection, database: Database) -> None:
    model = database.champion
    model_locks.share(connection, model.id)
    model_locks.unshare(connection, model.id)
    model_locks.own(connection, model.id)


def _own_table(connection: Connection, database: Database) -> None:
    pair, span = database.pair(), Span("m", after=database.articles // 4)
    statements.count_unlabelled(connection, pair, Span("m"))
    statements.count_unlabelled(connection, pair, span)
    keys = statements.next_keys(connection, pair, span, 512)
    statements.claim_rows(connection, pair, keys[0], wait=False)
    rows = statements.read_rows(connection, pair, keys, span)
    statements.write_labels(connection, pair, "m", [Label(row, "a", 1.0, None, None) for row in rows])
    definition.check_key(connection, THEIRS, pair)


CALLS: Mapping[str, Call] = {
    "ingest_runs.last_success": lambda c, _: reads.last_success(c, SOURCE),
    "ingest_runs.remember": lambda c, _: ingest_runs.save_source_state(
        c, SOURCE, "/inbox/1.csv", {"config_sha256": b""}
    ),
    "churn_samples.articles": lambda c, d: churn_samples.articles(c, d.ids(EVALUATED), d.champion.id),
    "churn_samples.articles without a champion": lambda c, d: churn_samples.articles(c, d.ids(EVALUATED), None),
    "churn_samples.to_label": lambda c, _: churn_samples.to_label(c),
    "evaluations.articles": lambda c, d: evaluations.articles(c, d.candidate.id),
    "evaluations.probabilities": lambda c, d: evaluations.probabilities(c, d.candidate.id, len(d.candidate.categories)),
    "evaluations.articles_by_id": lambda c, d: evaluations.articles_by_id(c, d.ids(EVALUATED)),
    "evaluations.has_predictions": lambda c, d: evaluations.has_predictions(c, d.candidate.id),
    "evaluations.add_predictions": _evaluate,
    "labelling_queue.ahead": lambda c, _: labelling_queue.ahead(c),
    "labelling_queue.claim of a source": lambda c, d: labelling_queue.claim(
        c, d.champion.id, PAGE, Selection(source=SOURCE), (0, 1000)
    ),
    "labelling_queue.no_page_open": lambda c, d: labelling_queue.no_page_open(c, d.champion.id),
    "labelling_queue.rate": lambda c, _: labelling_queue.rate(c),
    "labelling_queue.retry_dead_letters": lambda c, _: labelling_queue.retry_dead_letters(c, source=None, model=None),
    "labelling_queue.waiting": lambda c, _: labelling_queue.waiting(c),
    "near_duplicate_clusters.article_splits": lambda c, d: near_duplicate_clusters.article_splits(
        c, [(SOURCE, f"a{number}") for number in d.ids(CHUNK)]
    ),
    "near_duplicate_clusters.articles_near": lambda c, d: near_duplicate_clusters.articles_near(
        c, d.ids(CHUNK), {b"none"}
    ),
    "near_duplicate_clusters.fingerprints_of": lambda c, d: near_duplicate_clusters.fingerprints_of(
        c, d.ids(CHUNK), [number.to_bytes(32, "big") for number in d.ids(CHUNK)]
    ),
    "near_duplicate_clusters.cluster_splits": lambda c, d: near_duplicate_clusters.cluster_splits(c, d.ids(CHUNK)),
    "near_duplicate_clusters.homes": lambda c, _: near_duplicate_clusters.homes(c, range(16 * CHUNK)),
    "near_duplicate_clusters.insert_bands": lambda c, _: near_duplicate_clusters.insert_bands(
        c, np.arange(200).reshape(-1, 2)
    ),
    "near_duplicate_clusters.undecide_unclustered": lambda c, _: near_duplicate_clusters.undecide_unclustered(c, 5000),
    "near_duplicates, after waiting": lambda c, _: near_duplicate_clusters._still_merging(c, "a", 1),
    "near_duplicate_clusters.decided": lambda c, d: near_duplicate_clusters.decided(c, d.fingerprints(CHUNK)),
    "an ingest's clusters": _cluster,
    "small changes": _change_a_little,
    "a feed that was read again": _reread,
    "a page": _label,
    "a review": _review,
    "a training": _train,
    "a promotion": _promote,
    "a table of one's own": _own_table,
    "promotions.count_predictions": lambda c, d: promotions.count_predictions(c, d.champion.id, 1, 200),
    "promotions.ever_labelled": lambda c, d: promotions.ever_labelled(c, d.champion.id),
    "promotions.delete_predictions": lambda c, d: promotions.delete_predictions(c, d.champion.id, 1, 200),
    "promotions.drop_labelled": lambda c, d: promotions.drop_labelled(c, d.champion.id, after=0, size=CHUNK),
    "promotions.history": lambda c, _: promotions.history(c),
    "promotions.last_article": lambda c, _: promotions.last_article(c),
    "promotions.prunable": lambda c, _: promotions.prunable(c, keep=0),
    "promotions.rollback_target": lambda c, d: promotions.rollback_target(c, d.champion.id),
    "promotions.set_pruned": lambda c, d: promotions.set_pruned(c, d.candidate.id),
    "reads.annotated_articles of train": lambda c, _: reads.annotated_articles(c, "train"),
    "reads.annotated_articles of validation": lambda c, _: reads.annotated_articles(c, "validation"),
    "reads.annotated_articles of test": lambda c, _: reads.annotated_articles(c, "test"),
    "reads.clusters_of_articles": lambda c, d: list(reads.clusters_of_articles(c, d.ids(CHUNK))),
    "reads.articles_by_label": lambda c, d: reads.articles_by_label(c, share=500 / d.articles),
    "reads.articles_by_label of all": lambda c, _: reads.articles_by_label(c),
    "reads.backfilled_to": lambda c, d: reads.backfilled_to(c, d.champion.id),
    "reads.confidence": lambda c, d: reads.confidence(c, d.champion.id),
    "reads.dead_letter_count": lambda c, _: reads.dead_letter_count(c),
    "reads.dead_letters": lambda c, _: reads.dead_letters(c, source=SOURCE, model="m19", limit=51),
    "reads.decisions": lambda c, d: reads.decisions(c, d.champion.id),
    "reads.is_champion": lambda c, d: reads.is_champion(c, d.champion.id),
    "reads.labels_by_category": lambda c, d: reads.labels_by_category(c, share=500 / d.articles),
    "reads.labels_by_day": lambda c, d: reads.labels_by_day(c, d.week_ago, share=500 / d.articles),
    "reads.last_runs": lambda c, _: reads.last_runs(c, source=SOURCE),
    "reads.last_trained_model": lambda c, _: reads.last_trained_model(c),
    "reads.model_of_id": lambda c, d: reads.model_of_id(c, d.champion.id),
    "reads.models_with_scores": lambda c, _: reads.models_with_scores(c),
    "reads.newest_evaluation": lambda c, d: reads.newest_evaluation(c, d.champion.id),
    "reads.newest_model": lambda c, _: reads.newest_model(c),
    "reads.rejected": lambda c, _: reads.rejected(c, limit=51),
    "reads.rejected of a source": lambda c, _: reads.rejected(c, source="another", limit=51),
    "reads.rejected_rows": lambda c, _: reads.rejected_rows(c),
    "reads.share_to_count": lambda c, _: reads.share_to_count(c, 100_000),
    "reads.sizes_by_category": lambda c, _: reads.sizes_by_category(c),
    "reads.source_state": lambda c, _: reads.source_state(c, SOURCE, "/inbox/1.csv"),
    "reads.training": lambda c, d: reads.training(c, d.champion.id),
    "reviews.annotated_categories": lambda c, _: reviews.annotated_categories(c, 1000),
    "reviews.rewritten": lambda c, d: reviews.rewritten(c, d.champion.id, 100),
    "reviews.articles": lambda c, d: reviews.articles(c, d.ids(CHUNK)),
    "reviews.audited": lambda c, d: reviews.audited(c, d.champion.id, None),
    "reviews.audited since": lambda c, d: reviews.audited(c, d.champion.id, d.week_ago),
    "reviews.categories": lambda c, _: reviews.categories(c),
    "reviews.categories_of_people": lambda c, _: reviews.categories_of_people(c),
    "reviews.conflicts": lambda c, _: reviews.conflicts(c),
    "reviews.disagreements": lambda c, _: reviews.disagreements(c, settled=False),
    "reviews.disagreements of an article": lambda c, _: reviews.disagreements(c, settled=True, article_id=77),
    "reviews.disagreements settled": lambda c, _: reviews.disagreements(c, settled=True),
    "reviews.has_opinion": lambda c, d: reviews.has_opinion(c, d.ids(10)[5]),
    "reviews.known_categories": lambda c, _: reviews.known_categories(c, ["category 0001", "none"]),
    "reviews.pool": lambda c, d: reviews.pool(c, d.champion.id, share=500 / d.articles),
    "reviews.queued": lambda c, d: reviews.queued(c, d.ids(CHUNK)),
    "reviews.said": lambda c, d: reviews.annotations_of(c, d.ids(10)[5], "ann"),
    "reviews.texts": lambda c, d: reviews.texts(c, d.champion.id, d.ids(CHUNK)),
    "reviews.waiting": lambda c, d: reviews.waiting(c, d.champion.id),
    "models' files": _lock_files,
    "training_runs.last_of": lambda c, d: training_runs.last_of(c, d.champion.id),
    "training_runs.under_way": lambda c, _: training_runs.under_way(c),
    "drift_runs.add": lambda c, d: drift_runs.add(
        c, {"model_id": d.champion.id, "articles": 1, "audited": 1, "findings": [], "alarms": []}
    ),
    "drift_runs.alarm_since": lambda c, d: drift_runs.alarm_since(c, d.champion.id, "length"),
    "drift_runs.last": lambda c, _: drift_runs.last(c),
    "drift_runs.newest": lambda c, d: drift_runs.newest(c, d.champion.id, since=d.week_ago, size=25),
    "drift_runs.over_time": lambda c, d: drift_runs.over_time(c, since=d.week_ago),
    "an ingest": _ingest,
}
