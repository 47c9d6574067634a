"""Explain the label of a text: the words that speak for each of its categories and against it. Nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from classifier.articles import model_input
from classifier.exceptions import ArticleNotFoundError, SettingsError
from classifier.inference import explanation
from classifier.inference.explanation import MAX_RUNS, Explanation, Word
from classifier.names import normalize_category
from classifier.pipeline.labelling.classification import Classification, TextClassifier

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
        """The categories between which a reader decides: the explained ones, the labels and the next probable one."""
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

    If the text has no label, its most probable category is explained. Of merged categories, the figures are those of
    the most probable part.

    Raises:
        SettingsError: the model does not have the category.
    """
    named = None if category is None else _find_category(opened, category)
    (result,) = opened.classify([text])
    labels = [result.label] if result.labels is None else list(result.labels)
    chosen = [named] if named is not None else labels or [next(iter(result.candidates))]
    parts = [_most_probable_part(opened, text, name) for name in chosen]
    explained = explanation.explain(opened.labeller, text, parts, max_runs=max_runs, max_seconds=max_seconds)
    return TextExplanation(
        opened.model,
        opened.labeller.engine_name,
        text,
        result,
        tuple(map(_of_category, chosen, explained)),
        len(explained[0].spans),
        int(explained[0].is_read.sum()),
        explained[0].runs,
        next((name for name in result.candidates if name not in labels), None),
    )


def _most_probable_part(opened: TextClassifier, text: str, category: str) -> str:
    """Return the model's own name of a category; of a merged one, that of its most probable part."""
    own = opened.labeller.categories
    parts = [name for name, present in zip(own, opened.names, strict=True) if present == category]
    if len(parts) == 1:
        return parts[0]
    probabilities = dict(zip(own, opened.labeller.probabilities([text])[0], strict=True))
    return max(parts, key=lambda name: probabilities[name])


def _of_category(name: str, explained: Explanation) -> CategoryExplanation:
    return CategoryExplanation(
        name,
        explained.probability,
        explained.log_odds,
        tuple(explained.words()),
        explained.constant,
        explained.linear is not None,
    )


def _find_category(opened: TextClassifier, name: str) -> str:
    categories = tuple(dict.fromkeys(opened.names))
    normalized = normalize_category(name)
    name_of_model = next((category for category in categories if normalize_category(category) == normalized), None)
    if name_of_model is None:
        more = f" and {len(categories) - _NAMED} more" if len(categories) > _NAMED else ""
        raise SettingsError(f"--category {name!r}: unknown; choose from {', '.join(categories[:_NAMED])}{more}")
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
