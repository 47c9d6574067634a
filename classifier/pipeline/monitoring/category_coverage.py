"""Find annotated categories that models cannot predict: without an article to train on, or unknown to the champion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from classifier.pipeline.use_case import use_case
from classifier.plurals import plural
from classifier.store import annotated_articles, category_rows
from classifier.workspace import Workspace

MAX_NAMED = 10
"""Categories that a message names."""


@dataclass(frozen=True, slots=True)
class UncoveredCategory:
    """A category that the champion, or the next model, cannot predict.

    Attributes:
        articles: The annotated articles of the category, in any split.
        has_train_articles: Whether one of them is in the train split. If not, no model will know the category.
        champion_knows: Whether the champion can predict the category; None if there is no champion.
    """

    name: str
    articles: int
    has_train_articles: bool
    champion_knows: bool | None


@use_case
def find_uncovered(workspace: Workspace) -> tuple[UncoveredCategory, ...]:
    """Return the annotated categories without a train article, and those that the champion does not know."""
    with workspace.database.connect() as connection:
        return load_uncovered(connection)


def load_uncovered(connection: Connection) -> tuple[UncoveredCategory, ...]:
    """Return the categories of `find_uncovered`, the largest first."""
    return tuple(UncoveredCategory(**row._mapping) for row in annotated_articles.uncovered_categories(connection))  # noqa: SLF001


def without_train_articles(connection: Connection, trained: Iterable[str]) -> dict[str, int]:
    """Return the annotated categories that a training does not have, with the number of their articles.

    Retired categories are left out.
    """
    names, totals = {*trained, *category_rows.taxonomy(connection).retired}, Counter[str]()
    for (category, _), count in annotated_articles.count_by_category_and_split(connection).items():
        if category and category not in names:
            totals[category] += count
    return dict(totals.most_common())


def describe(categories: Iterable[UncoveredCategory], champion: str | None) -> list[str]:
    """Return the warnings about uncovered categories; `champion` is the champion's name."""
    listed = tuple(categories)
    untrained = {category.name: category.articles for category in listed if not category.has_train_articles}
    unknown = {category.name: category.articles for category in listed if category.champion_knows is False}
    lines = (describe_untrained(untrained), describe_unknown(unknown, f"the champion {champion}"))
    return [line for line in lines if line]


def describe_untrained(categories: Mapping[str, int]) -> str:
    """Return a warning about categories without a train article; empty if there are none."""
    if not categories:
        return ""
    return (
        f"{_name(categories)} without an article in the train split: no model can predict them; annotate train articles"
    )


def describe_unknown(categories: Mapping[str, int], model: str) -> str:
    """Return a warning about annotated categories that a model does not know; empty if it knows all of them."""
    if not categories:
        return ""
    return f"{model} does not know {_name(categories)}: it labels such articles wrongly; run: classifier train"


def _name(categories: Mapping[str, int]) -> str:
    """Return the categories, each with the number of its annotated articles."""
    named = [f"{name}: {plural(count, 'article')}" for name, count in list(categories.items())[:MAX_NAMED]]
    more = f" and {len(categories) - MAX_NAMED:,} more" if len(categories) > MAX_NAMED else ""
    total = plural(len(categories), "annotated category", "annotated categories")
    return f"{total} ({', '.join(named)}{more})"
