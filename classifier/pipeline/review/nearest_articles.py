"""The annotated articles that are most similar to a text, with their annotations. Nothing is stored.

Only a sample is compared, so that the answer costs the same in a database of any size: of the newest annotations, the
newest of each category in question. Articles of the test split are never shown, so that no annotation of them is copied
by people who annotate others. Nor are articles that wait for an independent annotation: see `find_nearest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classifier.pipeline.review import overlap
from classifier.pipeline.use_case import use_case
from classifier.review import similarity
from classifier.store import annotated_articles, category_rows
from classifier.workspace import Workspace

NEAREST = 5
"""Articles that are shown by default."""

EXAMINED = 100_000
"""Annotations, the newest of all tasks, among which the sample is chosen."""

MAX_ARTICLES = 2_000
"""Articles that are compared; each category in question has an equal share."""

MAX_CHARACTERS = 20_000
"""Characters of each text that are compared."""


@dataclass(frozen=True, slots=True)
class NearestArticle:
    """An annotated article, with the categories of the annotation that counts, and its similarity from 0 to 1."""

    article_id: int
    source: str
    external_id: str
    title: str | None
    url: str | None
    categories: tuple[str, ...]
    similarity: float


@dataclass(frozen=True, slots=True)
class NearestArticles:
    """The most similar articles, the most similar first, of the `compared` ones."""

    compared: int
    articles: tuple[NearestArticle, ...]


@use_case
def find_nearest(
    workspace: Workspace,
    text: str,
    categories: Sequence[str],
    *,
    article_id: int | None = None,
    reader: str | None = None,
    number: int = NEAREST,
) -> NearestArticles:
    """Return the annotated articles of these categories that are most similar to a text.

    `article_id` is the article of the text, which is not compared with itself. Articles on which annotators disagree
    are left out. So are those whose annotation waits for a check, and those that wait for further people, unless the
    reader has annotated them. Only articles that share a word with the text are returned.
    """
    share = MAX_ARTICLES // max(1, len(categories))
    with workspace.database.connect() as connection:
        rows = annotated_articles.newest_texts(
            connection, categories, without=article_id, examined=EXAMINED, per_category=share, characters=MAX_CHARACTERS
        )
        second = overlap.load_second_opinions(connection, workspace.settings)
    hidden = {row.article_id for row in second if reader not in row.annotators}
    rows = [row for row in rows if row.id not in hidden]
    values = similarity.similarities(text[:MAX_CHARACTERS], [row.text for row in rows])
    order = np.argsort(-values, kind="stable")[:number].tolist()
    nearest = tuple(
        NearestArticle(
            rows[index].id,
            rows[index].source,
            rows[index].external_id,
            rows[index].title,
            rows[index].url,
            tuple(rows[index].categories),
            round(float(values[index]), 6),
        )
        for index in order
        if values[index] > 0
    )
    return NearestArticles(len(rows), nearest)


@use_case
def translate_categories(workspace: Workspace, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of today of categories by the names with which a model was trained, each once."""
    with workspace.database.connect() as connection:
        return category_rows.taxonomy(connection).present_set(names)
