"""Annotations that disagree, and how they are settled.

What counts of an article is the newest annotation by a person, or the source's where no person has said anything.
Where people disagree, each by what he said last, nobody trains or tests on the article, until they agree or one
of them decides. What is said later may open it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from sqlalchemy import Connection

from classifier.exceptions import ReviewError
from classifier.names import normalize_category
from classifier.pipeline.review.sheets import changed_message, known_categories, unknown_category_message
from classifier.pipeline.use_case import use_case
from classifier.review.sheet import SOURCE_ANNOTATOR_PREFIX
from classifier.store import reviews
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one annotator, a person or a source, said last."""

    annotator: str
    category: str
    comment: str | None
    annotated_at: datetime


@dataclass(frozen=True, slots=True)
class Conflict:
    """An article with opinions that differ; `counts` is the category that counts, None while that is open."""

    article_id: int
    source: str
    external_id: str
    opinions: tuple[Opinion, ...]
    counts: str | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """The category that counts from now on, and who said so."""

    article_id: int
    category: str
    annotator: str


@use_case
def list_conflicts(workspace: Workspace, *, settled: bool = False) -> list[Conflict]:
    """List the articles that people disagree on; with `settled` also where only the source says otherwise."""
    with workspace.database.connect() as connection:
        return read_conflicts(connection, settled=settled)


def read_conflicts(connection: Connection, *, settled: bool = False, article_id: int | None = None) -> list[Conflict]:
    """Read what `listed` lists; with `article_id`, of that article alone."""
    rows = reviews.disagreements(connection, settled=settled, article_id=article_id)
    found = []
    for _, group in groupby(rows, key=lambda row: row.article_id):
        said = list(group)
        opinions = tuple(Opinion(row.annotator, row.category, row.comment, row.annotated_at) for row in said)
        by_people = [one.category for one in opinions if not one.annotator.startswith(SOURCE_ANNOTATOR_PREFIX)]
        first = said[0]
        counts = None if first.open else by_people[-1]
        found.append(Conflict(first.article_id, first.source, first.external_id, opinions, counts))
    return found


@use_case
def resolve_conflict(
    workspace: Workspace,
    article_id: int,
    category: str,
    *,
    annotator: str,
    comment: str | None = None,
    revision: int | None = None,
) -> Resolution:
    """Settle what people have said of an article; the decision is an annotation by `annotator`.

    With `revision` that of the text which was read.

    Raises:
        ReviewError: no person has annotated it, its text has changed, or there is no such category or annotator.
    """
    if not annotator.strip() or annotator.startswith(SOURCE_ANNOTATOR_PREFIX):
        raise ReviewError(f"annotator {annotator[:40]!r}: a person has to be named")
    category = normalize_category(category)
    with workspace.database.begin() as connection:
        reviews.lock(connection)
        if not reviews.has_opinion(connection, article_id):
            raise ReviewError(f"article {article_id}: no person has annotated it; see: classifier review conflicts")
        if not known_categories(connection, [category]):
            raise ReviewError(unknown_category_message(category, sorted(reviews.categories(connection))))
        if not reviews.decide(connection, article_id, category, annotator.strip(), comment, revision):
            raise ReviewError(changed_message(article_id))
    return Resolution(article_id, category, annotator.strip())
