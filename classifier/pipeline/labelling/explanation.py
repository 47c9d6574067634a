"""Explain the label of a text: the words that speak for each of its categories and against it. Nothing is stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from classifier.articles import Probabilities, model_input
from classifier.exceptions import ArticleNotFoundError, CategoryError
from classifier.inference import explanation
from classifier.inference.explanation import MAX_RUNS, Explanation, Word
from classifier.inference.occlusion import Group, Occluder
from classifier.names import normalize_category
from classifier.pipeline.labelling.classification import Classification, TextClassifier
from classifier.taxonomy import ancestors

if TYPE_CHECKING:
    from sqlalchemy import Row

    from classifier.workspace import Workspace

_NAMED = 20
"""Categories that an error names."""


@dataclass(frozen=True, slots=True)
class CategoryExplanation:
    """The words of a text that speak for a category or against it.

    Attributes:
        words: The words that add something to the category's log-odds, in the text's order.
        constant: What the linear classifier of an ensemble adds for every text.
        has_linear: Whether the model is an ensemble; else each word's linear part is 0.
    """

    category: str
    probability: float
    log_odds: float
    words: tuple[Word, ...]
    constant: float
    has_linear: bool


@dataclass(frozen=True, slots=True)
class WordTotal:
    """A word in lower case with the number of its occurrences and the sums of their figures."""

    word: str
    count: int
    contribution: float
    network: float
    linear: float


def total_words(text: str, words: Iterable[Word]) -> list[WordTotal]:
    """Return each different word of a text, those that add most first."""
    groups: defaultdict[str, list[Word]] = defaultdict(list)
    for word in words:
        groups[text[word.start : word.end].casefold()].append(word)
    totals = [
        WordTotal(
            name,
            len(group),
            sum(word.contribution for word in group),
            sum(word.network for word in group),
            sum(word.linear for word in group),
        )
        for name, group in groups.items()
    ]
    return sorted(totals, key=lambda total: -total.contribution)


@dataclass(frozen=True, slots=True)
class TextExplanation:
    """A text as the model reads it, its label, and an explanation for each of its categories.

    Attributes:
        words: Number of words of the text.
        words_read: Number of words that the network reads; the rest is beyond its input.
        runs: Number of texts with hidden words that were computed.
        runner_up: The most probable category that is no label; None if there is none.
    """

    model: str
    engine: str
    text: str
    result: Classification
    categories: tuple[CategoryExplanation, ...]
    words: int
    words_read: int
    runs: int
    runner_up: str | None

    @property
    def alternatives(self) -> tuple[str, ...]:
        """The categories between which a reader decides: the explained ones, the labels and the next most probable."""
        labels = (self.result.label,) if self.result.labels is None else self.result.labels
        explained = (each.category for each in self.categories)
        return tuple(dict.fromkeys([*explained, *labels, *([self.runner_up] if self.runner_up else [])]))


def explain_text(
    opened: TextClassifier,
    text: str,
    category: str | None = None,
    *,
    max_runs: int = MAX_RUNS,
    max_seconds: float | None = None,
) -> TextExplanation:
    """Explain the label of a text, all labels of a multi-label model, or one category that is named.

    If the text has no label, its most probable category is explained. Categories that were merged are explained as one.
    So are those below a parent, if the model backs off to it or has no such category itself. Of a multi-label model,
    the figures are those of the most probable merged part, whose probability is that of the whole.

    Raises:
        CategoryError: the model does not have the category.
    """
    named = None if category is None else _find_category(opened, category)
    occluder = Occluder.of(opened.labeller, text)
    result = opened.describe(occluder.probabilities)
    labels = [result.label] if result.labels is None else list(result.labels)
    chosen = [named] if named is not None else labels or [next(iter(result.candidates))]
    groups = [_find_columns(opened, occluder, result, name) for name in chosen]
    explained = explanation.explain(occluder, groups, max_runs=max_runs, max_seconds=max_seconds)
    return TextExplanation(
        opened.model,
        opened.labeller.engine_name,
        text,
        result,
        tuple(
            _of_category(name, occluder.probabilities[list(group)], each)
            for name, group, each in zip(chosen, groups, explained, strict=True)
        ),
        len(explained[0].spans),
        int(explained[0].is_read.sum()),
        explained[0].runs,
        next((name for name in result.candidates if name not in labels), None),
    )


def _find_columns(opened: TextClassifier, occluder: Occluder, result: Classification, category: str) -> Group:
    """Return the model's columns of a category; of a multi-label model, that of its most probable part."""
    columns = tuple(column for column, name in enumerate(opened.names) if name == category)
    if opened.labeller.kind == "multi":
        return (max(columns, key=lambda column: occluder.probabilities[column]),)
    backed_off = category == result.label != next(iter(result.candidates))
    if columns and not backed_off:
        return columns
    paths = [(name, *ancestors(name, opened.parents)) for name in opened.names]
    return tuple(column for column, path in enumerate(paths) if category in path)


def _of_category(name: str, probabilities: Probabilities, explained: Explanation) -> CategoryExplanation:
    """Return an explanation with the sum of the columns' probabilities, whose bits are those of labelling."""
    return CategoryExplanation(
        name,
        float(np.add.accumulate(probabilities)[-1]),
        explained.log_odds,
        tuple(explained.words()),
        explained.constant,
        explained.linear is not None,
    )


def _find_category(opened: TextClassifier, name: str) -> str:
    above = [parent for own in opened.names for parent in ancestors(own, opened.parents)]
    categories = tuple(dict.fromkeys([*opened.names, *above]))
    normalized = normalize_category(name)
    name_of_model = next((category for category in categories if normalize_category(category) == normalized), None)
    if name_of_model is None:
        more = f" and {len(categories) - _NAMED} more" if len(categories) > _NAMED else ""
        raise CategoryError(f"category {name!r}: unknown; choose from {', '.join(categories[:_NAMED])}{more}")
    return name_of_model


@dataclass(frozen=True, slots=True)
class StoredArticle:
    """An article of the database, by its source and its id there."""

    id: int
    source: str
    external_id: str
    revision: int
    text: str
    title: str | None
    url: str | None

    def input_of(self, opened: TextClassifier) -> str:
        """Return what a model reads of the article."""
        return model_input(self.text, self.title, read_title=opened.labeller.read_title)


def find_article(workspace: Workspace, source: str, external_id: str) -> StoredArticle:
    """Return the article of a source with this id.

    Raises:
        ArticleNotFoundError: there is no such article.
    """
    from classifier.pipeline.use_case import use_case
    from classifier.store import article_rows

    @use_case
    def find(workspace: Workspace) -> Row[Any] | None:
        with workspace.database.connect() as connection:
            return article_rows.find(connection, source, external_id)

    row = find(workspace)
    if row is None:
        raise ArticleNotFoundError(f"article {source} {external_id}: not found; name its source and its id there")
    return StoredArticle(row.id, row.source, row.external_id, row.revision, row.text, row.title, row.url)
