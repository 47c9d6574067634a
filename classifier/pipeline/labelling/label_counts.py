"""Count the labels that were written on each day, and the articles of each category."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from classifier.pipeline.monitoring.status import MAX_COUNTED
from classifier.pipeline.use_case import use_case
from classifier.store import label_statistics
from classifier.store.label_statistics import CategoryCounts
from classifier.workspace import Workspace

DAYS = 30

MAX_COUNTED_PREDICTIONS = 500_000
"""Predictions that are all counted. If there are more, about this many are counted, in blocks drawn at random."""


NO_ARTICLES = CategoryCounts(0, 0, 0)


@dataclass(frozen=True, slots=True)
class CategoryCount:
    """The articles whose label is a category, and how many of them a human annotated."""

    name: str
    articles: int
    annotated: int


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """Labels by day and by category.

    Attributes:
        days: Predictions written on each of the last days (UTC), the oldest first; every day is included.
        written_share: Share of the predictions that was counted; below 1, `days` is an estimate.
        categories: The largest category first; an article with several labels counts for each.
        labelled: Articles that were annotated or predicted.
        unlabelled: Articles that wait for a label.
        counted: Share of the articles that was counted; below 1, the figures of categories are estimates.
        without_category: Of the labelled articles of a multi-label task, those that have none of its categories.
    """

    days: tuple[tuple[date, int], ...]
    written_share: float
    categories: tuple[CategoryCount, ...]
    labelled: int
    unlabelled: int
    counted: float
    without_category: int = 0


@use_case
def count_labels(workspace: Workspace, *, days: int = DAYS) -> LabelCounts:
    """Count the labels of the last `days` days, and of all articles."""
    today = datetime.now(UTC).date()
    first = today - timedelta(days=days - 1)
    with workspace.database.connect() as connection:
        share = label_statistics.sample_share(connection, MAX_COUNTED_PREDICTIONS, table="predictions")
        written = label_statistics.count_by_day(connection, datetime.combine(first, time(), UTC), share=share)
        counted = label_statistics.sample_share(connection, MAX_COUNTED)
        by_category = label_statistics.count_by_category(connection, share=counted)
    unlabelled = by_category.pop(None, NO_ARTICLES).articles
    labelled = sum(counts.first_labels for counts in by_category.values())
    without_category = by_category.pop("", NO_ARTICLES).articles
    categories = [CategoryCount(name or "", counts.articles, counts.annotated) for name, counts in by_category.items()]
    return LabelCounts(
        days=tuple((day, written.get(day, 0)) for day in (first + timedelta(days=n) for n in range(days))),
        written_share=share,
        categories=tuple(sorted(categories, key=lambda category: (-category.articles, category.name))),
        labelled=labelled,
        unlabelled=unlabelled,
        counted=counted,
        without_category=without_category,
    )
