"""A call of every function of the store, so that every statement of the project can be explained.

The arguments have the sizes that use cases have: a page of the queue, a chunk of a file, an evaluation's articles.
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

from classifier.articles import SPLITS, Model, QueuedArticle
from classifier.external_table import definition, statements
from classifier.external_table.definition import ExternalTable
from classifier.external_table.statements import Label, Span
from classifier.ingest.readers import Columns
from classifier.pipeline.ingest import units
from classifier.settings import Settings
from classifier.store import (
    annotated_articles,
    annotation_checks,
    article_labels,
    article_rows,
    category_rows,
    churn_samples,
    connections,
    dead_letter_rows,
    drift_runs,
    evaluations,
    independent_opinions,
    ingest_runs,
    label_statistics,
    labelling_queue,
    model_locks,
    model_rows,
    near_duplicate_clusters,
    prediction_rows,
    promotions,
    rejections,
    reviews,
    source_states,
    staging,
    tables,
    task_rows,
    text_changes,
    training_runs,
)
from classifier.store.article_labels import LabelSelection
from classifier.store.evaluations import ArticlePrediction
from classifier.store.labelling_queue import Selection
from classifier.taxonomy import CategoryChange
from classifier.workspace import Workspace
from tests.support.erasure_statements import ERASURE
from tests.support.predictions import write_predictions
from tests.support.synthetic import write_csv

PAGE, CHUNK, EVALUATED = 100, 100, 100
SOURCE = "synthetic"
EXTERNAL_TABLE = ExternalTable("id", "text", table="articles", out="labels_of_a_call")


@dataclass(frozen=True)
class Database:
    """A connection to a database of `scale_database`, its number of articles, and the values that the calls need."""

    connection: Connection
    articles: int

    @property
    def champion(self) -> Model:
        return self._model("champion")

    @property
    def candidate(self) -> Model:
        return self._model("candidate")

    @property
    def task(self) -> int:
        return task_rows.current_id(self.connection)

    @property
    def week_ago(self) -> datetime:
        return datetime.now(UTC) - timedelta(days=7)

    def ids(self, count: int) -> list[int]:
        """Return ids from all over the table."""
        return list(range(1, self.articles + 1, max(1, self.articles // count)))[:count]

    def fingerprints(self, count: int) -> list[bytes]:
        """Return fingerprints, half of which exist."""
        present = select(tables.articles.c.fingerprint).where(tables.articles.c.id.in_(self.ids(count // 2)))
        existing = [bytes(fingerprint) for fingerprint in self.connection.scalars(present)]
        return existing + [number.to_bytes(32, "big") for number in range(1, count - len(existing) + 1)]

    def pair(self) -> statements.TablePair:
        """Return the articles as an external table, with a table of labels for half of them."""
        pair = definition.find_table(self.connection, EXTERNAL_TABLE)
        definition.create_labels(self.connection, pair)
        values = {"id": tables.articles.c.id, "model": literal("m"), "labelled_at": func.now()}
        half = select(*values.values()).where(tables.articles.c.id <= self.articles // 2)
        self.connection.execute(insert(pair.labels).from_select(list(values), half))
        self.connection.execute(text("ANALYZE labels_of_a_call"))
        return pair

    def _model(self, status: str) -> Model:
        name = self.connection.scalar(select(tables.models.c.name).where(tables.models.c.status == status))
        model = model_rows.by_name(self.connection, str(name))
        assert model is not None
        return model


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
            units.ingest_files(workspace, str(file), units.IngestOptions(Columns("text", "category", "id"), SOURCE))


def _reread(connection: Connection, _: Database) -> None:
    """Delete resolved rows after a feed was read, which shows only a part of its entries."""
    staging.create_tables(connection)
    run_id = connection.execute(select(func.max(tables.ingest_runs.c.id))).scalar_one()
    rejections.delete_resolved(connection, run_id, "/inbox/1.csv", complete=False)


def _change_a_little(connection: Connection, database: Database) -> None:
    staging.create_tables(connection)
    ids = database.ids(CHUNK)
    text_changes.add_small_changes(connection, ids, [1] * len(ids), [b""] * len(ids), [b""] * len(ids))


def _cluster(connection: Connection, database: Database) -> None:
    """Write the clusters of a chunk's new texts."""
    new = [number.to_bytes(32, "big") for number in range(1, CHUNK)]
    ids = [int.from_bytes(fingerprint[-8:], "big") for fingerprint in new]
    near_duplicate_clusters.insert_clusters(connection, ids, ["train"] * len(ids))
    near_duplicate_clusters.insert_splits(connection, new, ["train"] * len(ids), ids)
    near_duplicate_clusters.insert_cluster_bridges(connection, new, ids)


def _label(connection: Connection, database: Database) -> None:
    """Label a page as `classifier.labelling.worker` does."""
    model = database.champion
    labelling_queue.claim(connection, model.id, PAGE, Selection())
    page = [QueuedArticle(id_, 1, "") for id_ in database.ids(PAGE)]
    width = len(model.categories)
    write_predictions(connection, model, page, np.full((len(page), width), 1 / width, np.float32))
    dead_letter_rows.add(connection, model.id, page[0], "synthetic")


def _evaluate(connection: Connection, database: Database) -> None:
    model, ids = database.candidate, database.ids(EVALUATED)
    values = {"data_sha256": "", "articles": 1, "accuracy": 1.0, "macro_f1": 1.0, "metrics": {}}
    key = evaluations.add(connection, model.id, "test", values)
    columns: dict[str, list[Any]] = {
        "ids": ids,
        "hashes": [b""] * len(ids),
        "words": [1] * len(ids),
        "clusters": [1] * len(ids),
        "categories": ['["a"]'] * len(ids),
        "baselines": ['["a"]'] * len(ids),
        "gflops": [1.0] * len(ids),
    }
    evaluations.lock(connection, model.id)
    evaluations.add_predictions(connection, key, columns, np.full((len(ids), 2), 0.5, np.float32))
    answers = {number.to_bytes(32, "big"): ArticlePrediction(np.full(2, 0.5, np.float32), 1.0, 1.0) for number in ids}
    evaluations.add_partial_outputs(connection, model.id, "an engine", answers)
    evaluations.stored_outputs(connection, model.id, "an engine", dict(zip(ids, answers, strict=True)))
    evaluations.delete_partial_outputs(connection, model.id)


def _review(connection: Connection, database: Database) -> None:
    ids = database.ids(CHUNK)
    columns = {
        "ids": ids,
        "revisions": [1] * len(ids),
        "reasons": ["audit"] * len(ids),
        "positions": [[1]] * len(ids),
        "confidences": [0.5] * len(ids),
    }
    reviews.lock(connection)
    reviews.enqueue(connection, database.champion.id, columns)
    answers = {
        "ids": ids,
        "revisions": [1] * len(ids),
        "categories": [["category 0001"]] * len(ids),
        "annotators": ["ann"] * len(ids),
        "comments": [None] * len(ids),
    }
    reviews.add_annotations(connection, answers)
    reviews.add_resolution(connection, ids[0], ["category 0001"], "ann", None, 1)


def _train(connection: Connection, database: Database) -> None:
    run = training_runs.start(connection, "a key", steps=10, epochs=1, from_step=0)
    point = {"step": 1, "epoch": 1, "loss": 1.0, "accuracy": None, "macro_f1": None, "seconds": 1.0}
    training_runs.record(connection, run, [point], {"step": 1})
    training_runs.finish(connection, "a key", run, model_id=database.candidate.id)
    training_runs.start(connection, "a key", steps=10, epochs=1, from_step=1)
    training_runs.points(connection, 1)


def _promote(connection: Connection, database: Database) -> None:
    champion, candidate = database.champion, database.candidate
    model_rows.lock_champion(connection)
    model_rows.register(connection, name="new", artefact="", manifest_sha256="", categories=("a",), training={})
    model_rows.set_threshold(connection, candidate.id, 0.5, {})
    model_rows.make_champion(connection, candidate.id)
    model_rows.set_status(connection, champion.id, "retired")
    promotions.record(connection, candidate.id, previous_id=champion.id, verdict="promoted", reason="", decided_by="")
    labelling_queue.enqueue_backfill_chunk(connection, candidate.id, CHUNK)


def _change_tasks(connection: Connection, database: Database) -> None:
    task_rows.lock(connection)
    added = task_rows.add(connection, "another", "multi", 0, "")
    task_rows.change(connection, added.id, name="renamed")
    task_rows.active(connection)
    task_rows.dequeue_all(connection, added.id)
    task_rows.change(connection, added.id, archived_at=func.now())
    model_rows.set_thresholds(connection, database.candidate.id, [0.5], {})


def _change_categories(connection: Connection, _: Database) -> None:
    category_rows.lock(connection)
    changes = (
        CategoryChange("rename", ("category 0001",), ("renamed",), changed_by="test"),
        CategoryChange("merge", ("category 0002",), ("renamed",), changed_by="test"),
        CategoryChange("split", ("category 0003",), ("x", "y"), changed_by="test"),
        CategoryChange("move", ("x", "y"), ("renamed",), changed_by="test"),
    )
    for change in changes:
        category_rows.add_change(connection, change)
    category_rows.changes(connection)
    category_rows.taxonomy(connection)
    category_rows.recorded_names(connection)


def _split_a_category(connection: Connection, database: Database) -> None:
    """The share of split articles is that of the category, so all statements read as many rows as they have."""
    category_rows.add_change(connection, CategoryChange("split", ("category 0003",), ("x", "y"), changed_by="test"))
    category_rows.enqueue_split_articles(connection)
    category_rows.dequeue_annotated_articles(connection)
    reviews.articles_before_split(connection, database.champion.id, 100)


def _undo_a_change(connection: Connection, _: Database) -> None:
    """It looks for annotations with the names that the change brought."""
    category_rows.add_change(connection, CategoryChange("split", ("category 0003",), ("x", "y"), changed_by="test"))
    category_rows.add_change(connection, CategoryChange("undo", (), changed_by="test"))


def _lock_files(connection: Connection, database: Database) -> None:
    model = database.champion
    model_locks.try_share(connection, model.id)
    model_locks.release_shared(connection, model.id)
    model_locks.try_own(connection, model.id)


def _label_external_table(connection: Connection, database: Database) -> None:
    pair, span = database.pair(), Span("m", after=(database.articles // 4,))
    statements.count_unlabelled(connection, pair, Span("m"))
    statements.count_unlabelled(connection, pair, span)
    keys = statements.next_keys(connection, pair, span, 512)
    statements.claim_rows(connection, pair, keys[0], wait=False)
    rows = statements.read_rows(connection, pair, keys, span)
    statements.write_labels(connection, pair, "m", [Label(row, "a", 1.0, None, None) for row in rows])
    definition.check_key(connection, EXTERNAL_TABLE, pair)


CALLS: Mapping[str, Call] = {
    "task_rows.annotated_ids": lambda c, _: task_rows.annotated_ids(c),
    "task_rows.statistics": lambda c, _: task_rows.statistics(c),
    "task_rows.is_unused": lambda c, d: task_rows.is_unused(c, d.task),
    "task_rows.add_categories": lambda c, d: task_rows.add_categories(c, d.task, ["category 0001", "new"]),
    "task_rows.delete_unused_categories": lambda c, _: task_rows.delete_unused_categories(c),
    "categories": _change_categories,
    "a split": _split_a_category,
    "an undo": _undo_a_change,
    "category_rows.counts": lambda c, _: category_rows.counts(c),
    "category_rows.count_affected": lambda c, _: category_rows.count_affected(c, ["category 0001"], share=0.5),
    "task_rows.restart_backfill": lambda c, d: task_rows.restart_backfill(c, d.task),
    "reviews.categories_of_other_tasks": lambda c, _: reviews.categories_of_other_tasks(c, ["category 0001", "new"]),
    "a task": _change_tasks,
    "model_rows.task_of": lambda c, d: model_rows.task_of(c, d.champion.name),
    "ingest_runs.options_of_files": lambda c, _: ingest_runs.options_of_files(c),
    "ingest_runs.last_options": lambda c, _: ingest_runs.last_options(c, SOURCE),
    "source_states.of_unit": lambda c, _: source_states.of_unit(c, "/inbox/1.csv"),
    "connections.disable_idle_timeout": lambda c, _: connections.disable_idle_timeout(c),
    "ingest_runs.last_success": lambda c, _: ingest_runs.last_success(c, SOURCE),
    "source_states.save": lambda c, _: source_states.save(c, SOURCE, "/inbox/1.csv", {"config_sha256": b""}),
    "churn_samples.stream_articles": lambda c, d: churn_samples.stream_articles(c, d.ids(EVALUATED), d.champion.id),
    "churn_samples.stream_articles without a champion": lambda c, d: churn_samples.stream_articles(
        c, d.ids(EVALUATED), None
    ),
    "churn_samples.count_to_label": lambda c, _: churn_samples.count_to_label(c),
    "evaluations.evaluated_articles": lambda c, d: evaluations.evaluated_articles(c, d.candidate.id),
    "evaluations.probabilities": lambda c, d: evaluations.probabilities(c, d.candidate.id, len(d.candidate.categories)),
    "evaluations.articles_by_id": lambda c, d: evaluations.articles_by_id(c, d.ids(EVALUATED)),
    "evaluations.has_predictions": lambda c, d: evaluations.has_predictions(c, d.candidate.id),
    "evaluations.add_predictions": _evaluate,
    "labelling_queue.remaining_backfill": lambda c, _: labelling_queue.remaining_backfill(c),
    "labelling_queue.claim of a source": lambda c, d: labelling_queue.claim(
        c, d.champion.id, PAGE, Selection(source=SOURCE), (0, 1000)
    ),
    "labelling_queue.try_lock_pages": lambda c, d: labelling_queue.try_lock_pages(c, d.champion.id),
    "labelling_queue.labelling_rate": lambda c, _: labelling_queue.labelling_rate(c),
    "dead_letter_rows.retry": lambda c, _: dead_letter_rows.retry(c, source=None, model=None),
    "labelling_queue.count_waiting": lambda c, _: labelling_queue.count_waiting(c),
    "near_duplicate_clusters.article_splits": lambda c, d: near_duplicate_clusters.article_splits(
        c, [(SOURCE, f"a{number}") for number in d.ids(CHUNK)]
    ),
    "near_duplicate_clusters.articles_near": lambda c, d: near_duplicate_clusters.articles_near(
        c, d.ids(CHUNK), {b"none"}
    ),
    "near_duplicate_clusters.unchanged_fingerprints": lambda c, d: near_duplicate_clusters.unchanged_fingerprints(
        c, d.ids(CHUNK), [number.to_bytes(32, "big") for number in d.ids(CHUNK)]
    ),
    "near_duplicate_clusters.cluster_splits": lambda c, d: near_duplicate_clusters.cluster_splits(c, d.ids(CHUNK)),
    "near_duplicate_clusters.clusters_of_bands": lambda c, _: near_duplicate_clusters.clusters_of_bands(
        c, range(16 * CHUNK)
    ),
    "near_duplicate_clusters.insert_bands": lambda c, _: near_duplicate_clusters.insert_bands(
        c, np.arange(200).reshape(-1, 2)
    ),
    "near_duplicate_clusters.take_unclustered_splits": lambda c, _: near_duplicate_clusters.take_unclustered_splits(
        c, 5000
    ),
    "near_duplicate_clusters, after waiting": lambda c, _: near_duplicate_clusters._still_merging(c, "a", 1),
    "near_duplicate_clusters.fingerprints_with_split": lambda c, d: near_duplicate_clusters.fingerprints_with_split(
        c, d.fingerprints(CHUNK)
    ),
    "an ingest's clusters": _cluster,
    "small changes": _change_a_little,
    "a feed that was read again": _reread,
    "a page": _label,
    "a review": _review,
    "a training": _train,
    "a promotion": _promote,
    "an external table": _label_external_table,
    "prediction_rows.count": lambda c, d: prediction_rows.count(c, d.champion.id, 1, 200),
    "model_rows.was_champion": lambda c, d: model_rows.was_champion(c, d.champion.id),
    "prediction_rows.delete": lambda c, d: prediction_rows.delete(c, d.champion.id, 1, 200),
    "labelling_queue.dequeue_labelled": lambda c, d: labelling_queue.dequeue_labelled(
        c, d.champion.id, after=0, size=CHUNK
    ),
    "promotions.history": lambda c, _: promotions.history(c),
    "article_rows.last_id": lambda c, _: article_rows.last_id(c),
    "promotions.prunable": lambda c, _: promotions.prunable(c, keep=0),
    "promotions.rollback_target": lambda c, d: promotions.rollback_target(c, d.champion.id),
    "model_rows.set_pruned": lambda c, d: model_rows.set_pruned(c, d.candidate.id),
    "annotated_articles.load_split of train": lambda c, _: annotated_articles.load_split(c, "train"),
    "annotated_articles.load_split of validation": lambda c, _: annotated_articles.load_split(c, "validation"),
    "annotated_articles.load_split of test": lambda c, _: annotated_articles.load_split(c, "test"),
    "near_duplicate_clusters.clusters_of_articles": lambda c, d: list(
        near_duplicate_clusters.clusters_of_articles(c, d.ids(CHUNK))
    ),
    "label_statistics.count_by_origin": lambda c, d: label_statistics.count_by_origin(c, share=500 / d.articles),
    "article_rows.find": lambda c, _: article_rows.find(c, SOURCE, "a7"),
    "annotated_articles.newest_texts": lambda c, d: annotated_articles.newest_texts(
        # fewer than either database has: the number that is examined bounds the cost
        c,
        ["category 0001", "category 0002"],
        without=d.ids(10)[5],
        examined=1000,
        per_category=50,
        characters=20_000,
    ),
    "annotated_articles.uncovered_categories": lambda c, _: annotated_articles.uncovered_categories(c),
    "article_rows.describe": lambda c, d: article_rows.describe(c, d.ids(20), with_text=True),
    "article_labels.settled_until": lambda c, _: article_labels.settled_until(c),
    "article_labels.stream": lambda c, _: list(article_labels.stream(c, LabelSelection())),
    "article_labels.stream of changes": lambda c, d: list(
        article_labels.stream(c, LabelSelection(None, SOURCE, d.week_ago, d.week_ago, with_text=True))
    ),
    "label_statistics.count_by_origin of all": lambda c, _: label_statistics.count_by_origin(c),
    "model_rows.backfilled_to": lambda c, d: model_rows.backfilled_to(c, d.champion.id),
    "model_rows.calibration": lambda c, d: model_rows.calibration(c, d.champion.id),
    "dead_letter_rows.count": lambda c, _: dead_letter_rows.count(c),
    "dead_letter_rows.newest": lambda c, _: dead_letter_rows.newest(c, source=SOURCE, model="m19", limit=51),
    "promotions.of_model": lambda c, d: promotions.of_model(c, d.champion.id),
    "model_rows.is_champion": lambda c, d: model_rows.is_champion(c, d.champion.id),
    "label_statistics.count_by_category": lambda c, d: label_statistics.count_by_category(c, share=500 / d.articles),
    "label_statistics.count_by_day": lambda c, d: label_statistics.count_by_day(c, d.week_ago, share=500 / d.articles),
    "ingest_runs.newest": lambda c, _: ingest_runs.newest(c, source=SOURCE),
    "model_rows.last_trained": lambda c, _: model_rows.last_trained(c),
    "model_rows.by_id": lambda c, d: model_rows.by_id(c, d.champion.id),
    "model_rows.list_with_scores": lambda c, _: model_rows.list_with_scores(c),
    "evaluations.newest": lambda c, d: evaluations.newest(c, d.champion.id),
    "model_rows.newest": lambda c, _: model_rows.newest(c),
    "rejections.newest": lambda c, _: rejections.newest(c, limit=51),
    "rejections.newest of a source": lambda c, _: rejections.newest(c, source="another", limit=51),
    "rejections.count": lambda c, _: rejections.count(c),
    "label_statistics.sample_share": lambda c, _: label_statistics.sample_share(c, 100_000),
    "annotated_articles.count_by_split": lambda c, _: annotated_articles.count_by_split(c),
    "annotated_articles.count_by_category_and_split": lambda c, _: annotated_articles.count_by_category_and_split(c),
    "source_states.find": lambda c, _: source_states.find(c, SOURCE, "/inbox/1.csv"),
    "model_rows.training": lambda c, d: model_rows.training(c, d.champion.id),
    "reviews.annotated_categories": lambda c, _: reviews.annotated_categories(c, 1000),
    "reviews.rewritten_articles": lambda c, d: reviews.rewritten_articles(c, d.champion.id, 100),
    "reviews.articles_by_id": lambda c, d: reviews.articles_by_id(c, d.ids(CHUNK)),
    "reviews.audited_predictions": lambda c, d: reviews.audited_predictions(c, d.champion.id, None),
    "reviews.audited_predictions since": lambda c, d: reviews.audited_predictions(c, d.champion.id, d.week_ago),
    "reviews.model_categories": lambda c, _: reviews.model_categories(c),
    "reviews.human_categories": lambda c, _: reviews.human_categories(c),
    "reviews.count_conflicts": lambda c, _: reviews.count_conflicts(c),
    "reviews.disagreements": lambda c, _: reviews.disagreements(c, settled=False),
    "reviews.disagreements of an article": lambda c, _: reviews.disagreements(c, settled=True, article_id=77),
    "reviews.disagreements settled": lambda c, _: reviews.disagreements(c, settled=True),
    "reviews.has_human_annotation": lambda c, d: reviews.has_human_annotation(c, d.ids(10)[5]),
    "reviews.known_categories": lambda c, _: reviews.known_categories(c, ["category 0001", "none"]),
    "reviews.candidate_pool": lambda c, d: reviews.candidate_pool(c, d.champion.id, share=500 / d.articles),
    "reviews.waiting_reasons": lambda c, d: reviews.waiting_reasons(c, d.champion.id, d.ids(10)[5]),
    "article_labels.of_article": lambda c, d: article_labels.of_article(c, d.ids(10)[5]),
    "reviews.queued_revisions": lambda c, d: reviews.queued_revisions(c, d.ids(CHUNK)),
    "reviews.last_annotation": lambda c, d: reviews.last_annotation(c, d.ids(10)[5], "ann"),
    "reviews.candidate_texts": lambda c, d: reviews.candidate_texts(c, d.champion.id, d.ids(CHUNK)),
    "independent_opinions.independent_opinions": lambda c, _: independent_opinions.independent_opinions(c),
    "independent_opinions.second_opinions": lambda c, _: independent_opinions.second_opinions(c, people=3, days=30),
    "independent_opinions.second_opinions of an article": lambda c, d: independent_opinions.second_opinions(
        c, people=3, days=30, article_id=d.ids(10)[5]
    ),
    **{
        f"annotation_checks.annotated_sample of {split}": lambda c, _, split=split: annotation_checks.annotated_sample(
            c, split, size=1000, seed=0
        )
        for split in SPLITS
    },
    "annotation_checks.stream_texts": lambda c, _: next(
        annotation_checks.stream_texts(c, annotation_checks.annotated_sample(c, "test", size=9, seed=0))
    ),
    "annotation_checks.stored_predictions": lambda c, d: annotation_checks.stored_predictions(
        c, d.champion.id, d.ids(CHUNK)
    ),
    "annotation_checks.checked_annotations": lambda c, _: annotation_checks.checked_annotations(c),
    "reviews.waiting_reviews": lambda c, d: reviews.waiting_reviews(c, d.champion.id),
    "model_locks": _lock_files,
    "training_runs.last_of_model": lambda c, d: training_runs.last_of_model(c, d.champion.id),
    "training_runs.running": lambda c, _: training_runs.running(c),
    "drift_runs.add": lambda c, d: drift_runs.add(
        c, {"model_id": d.champion.id, "articles": 1, "audited": 1, "checks": [], "alarms": []}
    ),
    "drift_runs.alarm_since": lambda c, d: drift_runs.alarm_since(c, d.champion.id, "length"),
    "drift_runs.last_of_champion": lambda c, _: drift_runs.last_of_champion(c),
    "drift_runs.newest_labelled": lambda c, d: drift_runs.newest_labelled(c, d.champion.id, since=d.week_ago, size=25),
    "drift_runs.history": lambda c, d: drift_runs.history(c, since=d.week_ago),
    "an ingest": _ingest,
    **ERASURE,
}
