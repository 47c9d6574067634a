"""The changes of a task's categories, and what they make of the recorded names.

Functions take a connection and never commit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert

from classifier.store import tables, task_rows
from classifier.store.queries import query
from classifier.taxonomy import CategoryChange, Taxonomy, counting_changes, replay


@dataclass(frozen=True, slots=True)
class AffectedRows:
    """The articles whose annotations have some categories, those that people annotated, and the champion's labels."""

    annotated: int
    by_people: int
    labels: int


def lock(connection: Connection) -> None:
    """Lock the changes of the task's categories until the transaction ends; readers and annotators are not blocked."""
    connection.execute(query("lock_taxonomy"), {"task_id": task_rows.current_id(connection)})


def changes(connection: Connection, task_id: int | None = None) -> list[CategoryChange]:
    """Return the changes of a task's categories, by default the connection's task, the oldest first."""
    task_id = task_rows.current_id(connection) if task_id is None else task_id
    rows = connection.execute(query("category_changes"), {"task_id": task_id})
    return [
        CategoryChange(
            row.kind, tuple(row.names), tuple(row.targets), row.description, row.reason, row.changed_by, row.changed_at
        )
        for row in rows
    ]


def taxonomy(connection: Connection, task_id: int | None = None) -> Taxonomy:
    """Return the categories of today of a task, by default the connection's task."""
    return replay(changes(connection, task_id))


def recorded_names(connection: Connection) -> list[str]:
    """Return the names of the task's categories as annotations, changes and models have recorded them, sorted."""
    return list(connection.scalars(query("recorded_categories"), {"task_id": task_rows.current_id(connection)}))


def add_change(connection: Connection, change: CategoryChange) -> Taxonomy:
    """Insert a change, which must be valid, and store what it makes of the recorded names. Return the new taxonomy.

    The caller must hold the lock.
    """
    task_id = task_rows.current_id(connection)
    values = {
        "task_id": task_id,
        "kind": change.kind,
        "names": list(change.names),
        "targets": list(change.targets),
        "description": change.description,
        "reason": change.reason,
        "changed_by": change.changed_by,
    }
    connection.execute(insert(tables.category_changes).values(values))
    history = changes(connection)
    present = replay(history)
    if change.kind == "undo":
        _forget_unused_names(connection, task_id, history, present)
    _store(connection, task_id, history, present)
    return present


def counts(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return name, split and articles of the present categories of the task's annotations."""
    values = {"task_id": task_rows.current_id(connection)}
    return connection.execute(query("annotation_counts_by_category"), values).all()


def count_affected(connection: Connection, names: Sequence[str], *, share: float) -> AffectedRows:
    """Count the annotations, and estimate the champion's labels, that have one of these recorded names.

    `share` is the share of the predictions' blocks that is read.
    """
    values = {"task_id": task_rows.current_id(connection), "names": list(names)}
    annotated = connection.execute(query("annotations_of_categories"), values).one()
    labels = connection.execute(query("labels_of_categories"), {**values, "percent": 100 * share}).scalar_one()
    return AffectedRows(annotated.articles, annotated.by_people, round(labels / share))


def enqueue_split_articles(connection: Connection) -> int:
    """Enqueue the articles whose annotation is in force no longer, because its category was split; return how many.

    The caller must hold the lock of the labelling queue.
    """
    return connection.execute(query("enqueue_split_articles"), {"task_id": task_rows.current_id(connection)}).rowcount


def dequeue_annotated_articles(connection: Connection) -> None:
    """Delete from the queue the articles whose annotation is in force again after a split was undone."""
    connection.execute(query("dequeue_annotated_articles"), {"task_id": task_rows.current_id(connection)})


def _forget_unused_names(
    connection: Connection, task_id: int, history: Sequence[CategoryChange], present: Taxonomy
) -> None:
    """Delete the names that only changes brought that were taken back, and no annotation has."""
    counting = {name for change in counting_changes(history) for name in (*change.names, *change.targets)}
    counting |= {*present.present_names, *present.present_names.values(), *present.parents.values()}
    names = {name for change in history for name in (*change.names, *change.targets)} - counting
    connection.execute(query("lock_categories"))  # an annotation that commits meanwhile would look unused
    connection.execute(query("forget_unused_names"), {"task_id": task_id, "names": sorted(names)})


def _store(connection: Connection, task_id: int, history: Sequence[CategoryChange], present: Taxonomy) -> None:
    recorded = {*recorded_names(connection), *present.present_names}
    recorded |= {name for change in counting_changes(history) for name in (*change.names, *change.targets)}
    names = sorted(recorded)
    former = sorted(present.present_names)
    arrays = {
        "former_names": former,
        "present_names": [present.present(name) for name in former],
        "merged_names": sorted(present.merged),
        "split_names": [name for name in names if present.present(name) in present.splits],
        "retired_names": sorted(present.retired),
        "child_names": sorted(present.parents),
        "parent_names": [present.parents[name] for name in sorted(present.parents)],
    }
    connection.execute(query("store_taxonomy"), {"task_id": task_id, **arrays})
    shown = [present.present(name) for name in names]
    in_tree = {*present.parents, *present.parents.values()}
    columns = {
        "names": names,
        "present_names": shown,
        "states": [present.state(name) for name in shown],
        "descriptions": [present.descriptions.get(name, "") for name in shown],
        "paths": [json.dumps(present.path(name)) if name in in_tree else "" for name in shown],
    }
    connection.execute(query("store_category_states"), {"task_id": task_id, **columns})
