"""List conflicting annotations, and resolve them.

The categories of an article are the newest annotation by a person; if no person has annotated it, the source's. If the
last annotations of two people differ, the article is in conflict: it is not used for training or tests until they
agree or one of them decides. A later annotation may open the conflict again. Annotations of a multi-label task are
compared as sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection

from classifier.articles import join_labels
from classifier.exceptions import ReviewError
from classifier.names import normalize_category
from classifier.pipeline.review.sheets import AnswerRules, changed_message
from classifier.pipeline.use_case import use_case
from classifier.review import category_lists
from classifier.review.sheet import SOURCE_ANNOTATOR_PREFIX
from classifier.store import reviews
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Opinion:
    """The last annotation of one annotator, a person or a source; `category` shows its categories as one text."""

    annotator: str
    category: str
    comment: str | None
    annotated_at: datetime
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """An article with opinions that differ. `effective_category` shows what counts; it is None while it is open."""

    article_id: int
    source: str
    external_id: str
    opinions: tuple[Opinion, ...]
    effective_category: str | None
    title: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """What an article has from now on, and who decided it; `category` shows the categories as one text."""

    article_id: int
    category: str
    annotator: str
    categories: tuple[str, ...] = ()


@use_case
def list_conflicts(workspace: Workspace, *, settled: bool = False) -> list[Conflict]:
    """Return the articles on which people disagree; with `settled`, also those on which only the source disagrees."""
    with workspace.database.connect() as connection:
        return read_conflicts(connection, settled=settled)


def read_conflicts(connection: Connection, *, settled: bool = False, article_id: int | None = None) -> list[Conflict]:
    """Return what `list_conflicts` returns; with `article_id`, for that article alone."""
    rows = reviews.disagreements(connection, settled=settled, article_id=article_id)
    conflicts = []
    for _, group in groupby(rows, key=lambda row: row.article_id):
        annotations = list(group)
        first = annotations[0]
        opinions = tuple(
            Opinion(row.annotator, join_labels(row.categories), row.comment, row.annotated_at, tuple(row.categories))
            for row in annotations
        )
        by_people = [
            opinion.category for opinion in opinions if not opinion.annotator.startswith(SOURCE_ANNOTATOR_PREFIX)
        ]
        category = None if first.open else by_people[-1]
        conflicts.append(
            Conflict(
                first.article_id, first.source, first.external_id, opinions, category, title=first.title, url=first.url
            )
        )
    return conflicts


@use_case
def resolve_conflict(
    workspace: Workspace,
    article_id: int,
    categories: Sequence[str],
    *,
    annotator: str,
    comment: str | None = None,
    revision: int | None = None,
) -> Resolution:
    """Resolve a conflict: write the decision as an annotation by `annotator`, and return it.

    `revision` is that of the text that the annotator read, if known. Without categories, the article has none of a
    multi-label task.

    Raises:
        ReviewError: no person has annotated the article, its text has changed, a category or the annotator is unknown,
            or the task has one category an article and another number was given.
    """
    if not annotator.strip() or annotator.startswith(SOURCE_ANNOTATOR_PREFIX):
        raise ReviewError(f"annotator {annotator[:40]!r}: must be the name of a person")
    names = tuple(map(normalize_category, categories))
    if problem := category_lists.find_repeated(names):
        raise ReviewError(problem)
    with workspace.database.begin() as connection:
        reviews.lock(connection)
        if not reviews.has_human_annotation(connection, article_id):
            raise ReviewError(f"article {article_id}: no person has annotated it; see: classifier review conflicts")
        if refused := AnswerRules.load(connection, names).find_problem(names):
            raise ReviewError(refused.reason)
        if not reviews.add_resolution(connection, article_id, names, annotator.strip(), comment, revision):
            raise ReviewError(changed_message(article_id))
    return Resolution(article_id, join_labels(names), annotator.strip(), names)
