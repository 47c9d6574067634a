"""How every statement of the project is planned: nothing is read once a row, and what is looked up stays a look-up.

Two databases are built alike, one four times as large as the other. Every statement that a call of `statements` sends
is explained in both. Most must not cost more in the larger one; those of `SCANS`, which read whole tables, may cost
more in proportion to the rows. A statement or function that no call reaches fails here, so a new one needs a call.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, column, event, select, table, text, true

from benchmarks.support import scale_database
from classifier import store
from classifier.store import connections, queries, tables
from tests.support import statements
from tests.support.statements import CALLS, Database

SMALL, FACTOR = 8_000, 4

SCANS = {
    "erasures.ids_by_source",
    "erasures.ids_by_external_id",
    "erasures.all_identities",
    "erasures.rejected_rows",
    "erasures.drop_mistakes",
    "erased_texts.delete_clusters",
    "undo.articles_of",
    "undo.changed_by",
    "undo.annotations_of",
    "annotation_rows.newest",
    "annotation_rows.ids_in_use",
    "ingest_runs.last_success",
    "ingest_runs.options_of_files",
    "ingest_runs.last_options",
    "churn_samples.count_to_label",
    "dead_letter_rows.retry",
    "labelling_queue.count_waiting",
    "an external table",
    "annotated_articles.load_split of train",
    "annotated_articles.load_split of validation",
    "annotated_articles.load_split of test",
    "label_statistics.count_by_origin of all",
    "dead_letter_rows.count",
    "dead_letter_rows.newest",
    "rejections.newest of a source",
    "rejections.count",
    "annotated_articles.count_by_category_and_split",
    "reviews.audited_predictions",
    "reviews.audited_predictions since",
    "reviews.human_categories",
    "reviews.count_conflicts",
    "reviews.disagreements",
    "reviews.disagreements settled",
    "reviews.known_categories",
    "reviews.waiting_reviews",
    "independent_opinions.independent_opinions",
    "independent_opinions.second_opinions",
    "annotation_checks.annotated_sample of train",
    "annotation_checks.annotated_sample of validation",
    "annotation_checks.annotated_sample of test",
    "annotation_checks.stream_texts",
    "annotation_checks.checked_annotations",
    "evaluations.evaluated_articles",
    "evaluations.probabilities",
    "article_labels",
    "article_label_sets",
    "task_rows.statistics",
    "task_rows.is_unused",
    "task_rows.delete_unused_categories",
    "a task",
    "a split",
    "an undo",
    "annotated_articles.count_by_split",
    "annotations_before_split",
    "category_rows.counts",
    "category_rows.count_affected",
    "predicted_labels",
    "annotated_articles.uncovered_categories",
    "article_labels.stream",
    "article_labels.stream of changes",
    "annotation_conflicts",
    "annotation_opinions",
    "annotations_in_force",
    "effective_annotations",
    "present_annotations",
    "shown_annotations",
    "task_rows.annotated_ids",  # ends at the first annotation of each task
    "text_clusters",
}
"""Calls and views whose cost grows with the rows that there are, and why: they count, list or read all of them."""

NO_ROWS = re.compile(r"(COPY|CREATE|ALTER|LOCK|ANALYZE|VACUUM|CHECKPOINT|GRANT|REVOKE)\b")
"""Statements that have no plan: COPY, locks, and what makes tables and roles."""

NO_CALL = {
    "classifier.store.compaction",
    "classifier.store.roles",
    "classifier.store.schema",
    "classifier.store.studies",
    "classifier.store.copy",
}
"""Modules of the server's files, of rights, migrations, Optuna's own tables, and COPY."""

LOOKED_UP = 10 * statements.CHUNK
"""What looking up the rows of a call may cost in addition; scanning the articles of the larger database costs more."""

FEW = 100
"""Rows that may be read once a row: of models, say, there are a few."""


@dataclass(frozen=True)
class Explained:
    """A statement that a call sent, and how it is planned."""

    call: str
    name: str
    plan: dict[str, Any]

    @property
    def cost(self) -> float:
        return float(self.plan["Total Cost"])


@dataclass(frozen=True)
class Seen:
    """What the calls sent to a database, in order, and the functions that ran."""

    plans: list[Explained]
    names: set[str]
    code: set[Any]


@pytest.fixture(scope="module")
def quiet(server):
    """A server without autovacuum: what it reads meanwhile keeps VACUUM from marking pages, which changes plans."""
    server.run("ALTER SYSTEM SET autovacuum = off")
    server.run("SELECT pg_reload_conf()")
    yield server
    server.run("ALTER SYSTEM RESET autovacuum")
    server.run("SELECT pg_reload_conf()")


@pytest.fixture(scope="module")
def small(quiet):
    yield from filled(quiet, SMALL)


@pytest.fixture(scope="module")
def large(quiet):
    yield from filled(quiet, SMALL * FACTOR)


def filled(server, articles: int) -> Iterator[Seen]:
    """Make a database, and yield what all calls send to it."""
    url = server.create(template=server.migrated.database)
    engine = connections.connect(url.render_as_string(hide_password=False))
    scale_database.build(engine, scale_database.usual(articles, labelled_by=2))
    yield look(engine, articles)
    engine.dispose()
    server.drop(url)


def look(engine: Engine, articles: int) -> Seen:
    """Make every call, in a transaction that is rolled back, and read every view."""
    seen, call = Seen([], set(), set()), ""
    engine.dispose()

    @event.listens_for(engine, "before_cursor_execute")
    def explain(connection, cursor, statement, parameters, context, executemany):
        name = queries.describe(statement)
        seen.names.add(name)
        if call and not executemany and re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", statement):
            own = connection.connection.cursor()
            own.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
            seen.plans.append(Explained(call, name, own.fetchone()[0][0]["Plan"]))
            own.close()

    sys.setprofile(lambda frame, kind, _: seen.code.add(frame.f_code) if kind == "call" else None)
    try:
        for call, make in CALLS.items():  # noqa: B007 - the listener reads it
            with engine.connect() as connection:
                make(connection, Database(connection, articles))
    finally:
        sys.setprofile(None)
    call = ""
    with engine.connect() as connection:
        for view, key, value in views(connection):
            for call, only in ((view, true()), (f"{view} by {key}", column(key) == value)):  # noqa: B007
                connection.execute(select(text("*")).select_from(table(view)).where(only))
    return seen


def views(connection: Connection) -> list[tuple[str, str, Any]]:
    """Return every view with the column that it is looked up by, and a value."""
    named = "SELECT relname FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace ORDER BY 1"
    keys = {"text_clusters": "fingerprint"}
    values = connection.execute(select(tables.articles.c.id, tables.articles.c.fingerprint).limit(1)).one()
    keyed = [(view, keys.get(view, "article_id")) for view in connection.scalars(text(named))]
    return [(view, key, getattr(values, key.removeprefix("article_"))) for view, key in keyed]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan's nodes."""
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def lists(plan: dict[str, Any], *, beyond: float = FEW) -> list[str]:
    """Return what a part of a plan reads completely, of more than `beyond` rows."""
    kinds = {"Seq Scan", "CTE Scan", "Materialize", "Function Scan"}
    return [
        f"{node['Node Type']} of {node.get('Relation Name') or node.get('CTE Name') or '?'}"
        for node in nodes(plan)
        if node["Node Type"] in kinds and node["Plan Rows"] > beyond
    ]


def read_once_a_row(plan: dict[str, Any]) -> list[str]:
    """Return the lists that are read for each row of something else, or would be once they outgrow the memory."""
    hashed = set(re.findall(r"hashed (SubPlan \d+)", json.dumps(plan)))
    names = []
    for node in nodes(plan):
        if node["Node Type"] == "Nested Loop":
            sides = {child["Parent Relationship"]: child for child in node["Plans"]}
            names += lists(sides["Inner"]) if sides["Outer"]["Plan Rows"] > 1 else []
        if (name := node.get("Subplan Name", "")).startswith("SubPlan"):
            # a hashed list that outgrows the memory is scanned for each row
            names += lists(node) if name not in hashed else [name] * (node["Plan Rows"] > FEW * FACTOR)
    return names


def test_every_named_statement_is_explained(large):
    named = {name for name, statement in queries._statements().items() if not NO_ROWS.match(statement)}
    assert named <= large.names


def test_every_function_of_the_store_that_takes_a_connection_is_called(large):
    missing = []
    for info in pkgutil.iter_modules(store.__path__, f"{store.__name__}."):
        module = importlib.import_module(info.name)
        if info.ispkg or info.name in NO_CALL:
            continue
        for name, function in inspect.getmembers(module, inspect.isfunction):
            first = next(iter(inspect.signature(function).parameters.values()), None)
            takes = first is not None and first.annotation in {"Connection", Connection}
            if function.__module__ == info.name and takes and function.__code__ not in large.code:
                missing.append(f"{info.name}.{name}")
    assert not missing


def test_no_list_is_scanned_once_for_each_row(small, large):
    for seen in (small, large):
        bad = {(sent.call, sent.name): scans for sent in seen.plans if (scans := read_once_a_row(sent.plan))}
        assert not bad


def _scan_costs(few: float) -> float:
    """Return what a scan of the larger database may cost, by its cost in the smaller one.

    A sort of four times the rows costs a little more than four times as much. A scan that costs less than one unit an
    article is cheap in any case: whether it reads the table or an index alone depends on when Postgres last cleaned up.
    """
    return max(FACTOR * 1.3 * few + FEW, FACTOR * SMALL)


def test_the_cost_of_a_statement_grows_at_most_with_the_rows(small, large):
    assert [(sent.call, sent.name) for sent in small.plans] == [(sent.call, sent.name) for sent in large.plans]
    expensive = []
    for few, many in zip(small.plans, large.plans, strict=True):
        allowed = _scan_costs(few.cost) if many.call in SCANS else 1.5 * few.cost + LOOKED_UP
        if many.cost > allowed:
            expensive.append((many.call, many.name, round(few.cost), round(many.cost)))
    assert not expensive


def test_a_look_up_scans_no_table(large):
    bad = {
        (sent.call, sent.name): scans
        for sent in large.plans
        if sent.call not in SCANS
        and (
            scans := [name for name in lists(sent.plan, beyond=SMALL / 8) if re.match(r"Seq Scan of (?!staged_)", name)]
        )
    }
    assert not bad


def test_every_call_that_may_scan_tables_exists(large):
    assert {sent.call for sent in large.plans} >= SCANS
