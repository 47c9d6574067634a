"""List a task's categories of today, and the changes that led there."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from classifier.articles import SPLITS
from classifier.exceptions import CategoryError
from classifier.pipeline.categories.changes import describe_change
from classifier.pipeline.use_case import use_case
from classifier.store import category_rows, model_rows
from classifier.taxonomy import CategoryChange, CategoryState, undone_changes
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class CategorySummary:
    """A category of today.

    Attributes:
        path: Its ancestors, the topmost first, and itself.
        train, validation, test: Articles of each split whose annotation that counts has the category.
        champion_knows: Whether the champion predicts it; None without a champion.
        former_names: Names under which it was recorded before.
        into: The categories into which it was split.
    """

    category: str
    state: CategoryState
    train: int
    validation: int
    test: int
    champion_knows: bool | None
    path: tuple[str, ...]
    former_names: tuple[str, ...]
    into: tuple[str, ...]
    description: str

    @property
    def indented_name(self) -> str:
        """The name after two spaces for each ancestor."""
        return "  " * (len(self.path) - 1) + self.category

    @property
    def annotated(self) -> int:
        """The annotated articles of all splits."""
        return self.train + self.validation + self.test


@dataclass(frozen=True, slots=True)
class PastChange:
    """A change in words. `undone` says whether it was taken back."""

    change: str
    kind: str
    changed_at: datetime
    changed_by: str
    reason: str
    undone: bool


@use_case
def list_categories(workspace: Workspace, *, closed: bool = False) -> list[CategorySummary]:
    """Return the categories of the workspace's task in the order of their tree; with `closed`, retired and split ones.

    A parent that no annotation has is listed, too.
    """
    with workspace.database.connect() as connection:
        return [summary for summary in _summaries(connection) if closed or summary.state == "active"]


@use_case
def show_category(workspace: Workspace, name: str) -> CategorySummary:
    """Return one category, also by a former name.

    Raises:
        CategoryError: there is no such category.
    """
    with workspace.database.connect() as connection:
        present = category_rows.taxonomy(connection).present(name)
        category = next((summary for summary in _summaries(connection) if summary.category == present), None)
    if category is None:
        raise CategoryError(f"{name}: no such category; see: classifier categories list")
    return category


@use_case
def read_history(workspace: Workspace) -> list[PastChange]:
    """Return the changes of the categories of the workspace's task, the newest first."""
    with workspace.database.connect() as connection:
        changes = category_rows.changes(connection)
    undone_by = undone_changes(changes)
    undone = {*undone_by.values()}
    return [
        _past(changes[index], changes[undone_by[index]] if index in undone_by else None, undone=index in undone)
        for index in reversed(range(len(changes)))
    ]


def _past(change: CategoryChange, takes_back: CategoryChange | None, *, undone: bool) -> PastChange:
    assert change.changed_at is not None
    words = describe_change(change) if takes_back is None else f"taken back: {describe_change(takes_back)}"
    return PastChange(words, change.kind, change.changed_at, change.changed_by, change.reason, undone)


def _summaries(connection: Connection) -> list[CategorySummary]:
    present = category_rows.taxonomy(connection)
    champion = model_rows.champion(connection)
    of_champion = {*champion.present_categories} if champion else None
    sizes: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in category_rows.counts(connection):
        sizes[row.name][row.split] = row.articles
    names = {present.present(name) for name in category_rows.recorded_names(connection)} | {*sizes}
    former = present.former_names()
    summaries = []
    for name in sorted(names, key=present.path):
        train, validation, test = (sizes[name].get(split, 0) for split in SPLITS)
        summaries.append(
            CategorySummary(
                name,
                present.state(name),
                train,
                validation,
                test,
                None if of_champion is None else name in of_champion,
                present.path(name),
                former.get(name, ()),
                present.splits.get(name, ()),
                present.descriptions.get(name, ""),
            )
        )
    return summaries
