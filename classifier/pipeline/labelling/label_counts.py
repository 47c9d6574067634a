"""Count the labels: how many were written on each day, and how many articles each category has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from classifier.pipeline.monitoring.status import MAX_COUNTED
from classifier.pipeline.use_case import use_case
from classifier.store import label_statistics
from classifier.workspace import Workspace

DAYS = 30

WRITTEN = 500_000
"""Predictions that are counted one by one; of more of them, as many are counted in blocks drawn at random."""


@dataclass(frozen=True, slots=True)
class CategoryCount:
    """How many articles show a category, and how many of them because a human annotated them."""

    name: str
    articles: int
    annotated: int


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """What was labelled. `days` has every one of the last days (UTC), the oldest first, with none left out.

    `written_share` and `counted` are the shares of the predictions and of the articles that were counted; below 1
    the figures are estimates.
    """

    days: tuple[tuple[date, int], ...]
    written_share: float
    categories: tuple[CategoryCount, ...]
    unlabelled: int
    counted: float

    @property
    def labelled(self) -> int:
        """The articles that have a label."""
        return sum(category.articles for category in self.categories)


@use_case
def count_labels(workspace: Workspace, *, days: int = DAYS) -> LabelCounts:
    """Count, the largest category first."""
    today = datetime.now(UTC).date()
    first = today - timedelta(days=days - 1)
    with workspace.database.connect() as connection:
        share = label_statistics.sample_share(connection, WRITTEN, table="predictions")
        written = label_statistics.count_by_day(connection, datetime.combine(first, time(), UTC), share=share)
        counted = label_statistics.sample_share(connection, MAX_COUNTED)
        found = label_statistics.count_by_category(connection, share=counted)
    unlabelled, _ = found.pop(None, (0, 0))
    categories = [CategoryCount(name or "", *counts) for name, counts in found.items()]
    return LabelCounts(
        days=tuple((day, written.get(day, 0)) for day in (first + timedelta(days=n) for n in range(days))),
        written_share=share,
        categories=tuple(sorted(categories, key=lambda one: (-one.articles, one.name))),
        unlabelled=unlabelled,
        counted=counted,
    )
