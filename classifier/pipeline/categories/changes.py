"""Rename, merge, split, retire, restore, describe and move categories, and undo the last change.

Annotations, predictions and models keep the names that they were recorded with, so a change is one row of a log and
takes effect at once. A preview makes the same checks and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from classifier.exceptions import CategoryError
from classifier.names import normalize_category
from classifier.pipeline.categories import tree_files
from classifier.pipeline.categories.rules import check_change, checked_name
from classifier.pipeline.use_case import use_case
from classifier.plurals import plural
from classifier.store import category_rows, label_statistics, labelling_queue, task_rows
from classifier.taxonomy import (
    MAX_DESCRIPTION_LENGTH,
    CategoryChange,
    ChangeKind,
    Taxonomy,
    encode_tree,
    last_counting,
    replay,
)
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

MAX_REASON_LENGTH = 1000
MAX_COUNTED_PREDICTIONS = 50_000
"""Predictions that a preview reads at most; of more, it estimates the number of labels."""


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """What a change does, or would do.

    Attributes:
        summary: The change in words.
        annotated: Articles whose annotations show the change; `by_people` of them were annotated by people.
        labels: The champion's labels that show the change, estimated in a large database.
        enqueued: Articles that wait for a label of the champion, because their annotation is in force no longer.
        applied: False for a preview.
    """

    summary: str
    annotated: int
    by_people: int
    labels: int
    enqueued: int = 0
    applied: bool = True


@dataclass(frozen=True, slots=True)
class _Author:
    changed_by: str
    reason: str
    seen_changes: int | None


@use_case
def change_categories(
    workspace: Workspace,
    kind: ChangeKind,
    names: Sequence[str],
    targets: Sequence[str] = (),
    *,
    changed_by: str,
    reason: str = "",
    description: str = "",
    preview: bool = False,
    seen_changes: int | None = None,
) -> ChangeReport:
    """Change categories of the workspace's task. With `preview`, check the change and count what it shows.

    Args:
        workspace: Where, with the task.
        kind: Any kind except "undo".
        names: The present names of the categories that are changed: several of a merge or a move, else one.
        targets: The new name, the merged category, the parts of a split, or the parent; none removes the parent.
        changed_by: The person or program that changes them.
        reason: Why, for those who ask later.
        description: The new description, of the kind "describe".
        preview: Whether to change nothing.
        seen_changes: How many changes of the task the person has seen; None does not check it.

    Raises:
        CategoryError: a category does not exist or cannot be changed so, a name cannot be used, or there are newer
            changes than the person has seen.
    """
    change = CategoryChange(
        kind,
        tuple(dict.fromkeys(map(normalize_category, names))),
        tuple(dict.fromkeys(map(checked_name, targets))),
        _checked_length("description", description, MAX_DESCRIPTION_LENGTH),
    )

    def decide(connection: Connection, present: Taxonomy) -> CategoryChange:
        existing = {present.present(name) for name in category_rows.recorded_names(connection)}
        return check_change(present, existing, change)

    lock_queue = kind == "split" and not preview
    author = _Author(changed_by, reason, seen_changes)
    return _apply(workspace, decide, author, preview=preview, lock_queue=lock_queue)


@use_case
def import_tree(
    workspace: Workspace,
    path: Path,
    *,
    changed_by: str,
    language: str = "en",
    reason: str = "",
    preview: bool = False,
) -> ChangeReport:
    """Import the parents and descriptions of categories from a CSV or SKOS file, as one change.

    Other categories than those of the file do not change. Those that are new become known to annotators.

    Raises:
        CategoryError: the file cannot be read, or is not a tree of at most six levels.
    """
    nodes = tree_files.read_nodes(path, language=language)

    def decide(_: Connection, present: Taxonomy) -> CategoryChange:
        tree = tree_files.make_tree(nodes, present)
        names = {*tree.parents, *filter(None, tree.parents.values())}
        return CategoryChange("import", tuple(sorted(names)), description=encode_tree(tree.parents, tree.descriptions))

    return _apply(workspace, decide, _Author(changed_by, reason, None), preview=preview)


@use_case
def undo_change(
    workspace: Workspace,
    *,
    changed_by: str,
    reason: str = "",
    preview: bool = False,
    seen_changes: int | None = None,
) -> ChangeReport:
    """Take back the last change of the task's categories that was not taken back yet.

    Raises:
        CategoryError: there is none, or there are newer changes than the `seen_changes` that the person has seen.
    """

    def decide(connection: Connection, _: Taxonomy) -> CategoryChange:
        if last_counting(category_rows.changes(connection)) is None:
            raise CategoryError(f"{task_rows.current(connection).name}: no change of its categories to take back")
        return CategoryChange("undo", ())

    return _apply(workspace, decide, _Author(changed_by, reason, seen_changes), preview=preview)


def describe_change(change: CategoryChange) -> str:
    """Return a change in words."""
    parts = change.names if change.kind != "merge" else (name for name in change.names if name not in change.targets)
    names, targets = ", ".join(parts), ", ".join(change.targets)
    words = {
        "rename": f"{names} is now named {targets}",
        "merge": f"{names} merged into {targets}",
        "split": f"{names} split into {targets}",
        "retire": f"{names} retired",
        "restore": f"{names} restored",
        "describe": f"{names} described",
        "move": f"{names} moved below {targets}" if targets else f"{names} moved to the top",
        "import": f"{plural(len(change.names), 'category', 'categories')} arranged by a file",
        "undo": "the last change taken back",
    }
    return words[change.kind]


def _apply(
    workspace: Workspace,
    decide: Callable[[Connection, Taxonomy], CategoryChange],
    author: _Author,
    *,
    preview: bool,
    lock_queue: bool = False,
) -> ChangeReport:
    reason = _checked_length("reason", author.reason, MAX_REASON_LENGTH)
    with workspace.database.begin() as connection:
        if lock_queue:  # first, as everything that adds to the queue does
            labelling_queue.lock(connection)
        category_rows.lock(connection)
        history = category_rows.changes(connection)
        if author.seen_changes not in {None, len(history)}:
            last = f": {describe_change(history[-1])}, by {history[-1].changed_by}" if history else ""
            raise CategoryError(f"the categories have changed since this was opened{last}; preview it again")
        before = replay(history)
        change = replace(decide(connection, before), reason=reason, changed_by=author.changed_by)
        undone = last_counting(history) if change.kind == "undo" else None
        summary = describe_change(change) if undone is None else f"taken back: {describe_change(undone)}"
        if preview:
            return replace(_report(connection, before, undone or change, summary), applied=False)
        category_rows.add_change(connection, change)
        enqueued = 0
        if change.kind == "split":
            enqueued = category_rows.enqueue_split_articles(connection)
        elif undone is not None and undone.kind == "split":
            category_rows.dequeue_annotated_articles(connection)
    log.info("categories: %s, by %s", summary, author.changed_by)
    with workspace.database.connect() as connection:  # counting takes longer than the change, which readers see already
        return replace(_report(connection, before, undone or change, summary), enqueued=enqueued)


def _report(connection: Connection, before: Taxonomy, change: CategoryChange, summary: str) -> ChangeReport:
    """Count what shows a change: the annotations and labels of the changed categories, under all their names."""
    shown = {*change.names, *change.targets} if change.kind in {"rename", "merge"} else {*change.names}
    former = before.former_names()
    recorded = sorted(shown.union(*(former.get(name, ()) for name in shown)))
    share = label_statistics.sample_share(connection, MAX_COUNTED_PREDICTIONS, table="predictions")
    affected = category_rows.count_affected(connection, recorded, share=share)
    return ChangeReport(summary, affected.annotated, affected.by_people, affected.labels)


def _checked_length(what: str, value: str, most: int) -> str:
    value = value.strip()
    if len(value) > most:
        raise CategoryError(f"the {what} has {len(value):,} characters; at most {most:,} fit")
    return value
