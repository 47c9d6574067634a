"""Let people read what waits for review, one article after the other, and take in what they say of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, Row

from classifier import registry
from classifier.exceptions import ReviewError
from classifier.names import normalize_category
from classifier.pipeline.review import conflicts, sheets
from classifier.pipeline.review.conflicts import Opinion
from classifier.pipeline.use_case import use_case
from classifier.review import sheet
from classifier.review.sheet import SheetAnswer, SheetQuestion
from classifier.store import reads, reviews
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ReviewQuestion:
    """An article for a person to annotate, as it is now, and the categories to choose from.

    `asked` has a suggestion only where it may be shown, and no reason where the article no longer waits. `said` is
    what the person said of it last, `said_before` what they said of an earlier text that has become another one.
    `opinions` is what everybody said where people disagree. `waiting` counts articles.
    """

    asked: SheetQuestion
    categories: tuple[str, ...]
    waiting: int
    said: str | None = None
    opinions: tuple[Opinion, ...] = ()
    said_before: str | None = None


@use_case
def next_question(workspace: Workspace, annotator: str, *, after: int | None = None) -> ReviewQuestion | None:
    """Return the article that waits after another one, None where nothing waits.

    They follow each other by id, round and round: who skips one meets it again when the others are done. Without
    `after` people begin in different places, so that two at work seldom read the same.

    Raises:
        NoChampionError: no model has been promoted yet.
    """
    with workspace.database.connect() as connection:
        waiting = _waiting(connection, registry.champion(connection).id)
        if not waiting:
            return None
        ids = sorted(waiting)
        first = ids[crc32(annotator.encode()) % len(ids)] if after is None else ids[0]
        chosen = next((one for one in ids if after is not None and one > after), first)
        article = reviews.articles(connection, [chosen])[chosen]
        asked = sheets.make_question(waiting[chosen], article)
        said, said_before = _said(connection, chosen, annotator)
        return ReviewQuestion(asked, _categories(connection), len(waiting), said, said_before=said_before)


@use_case
def read_question(workspace: Workspace, article_id: int, annotator: str) -> ReviewQuestion:
    """Return an article that has been asked for, to say something else of it or to settle a conflict.

    Raises:
        ReviewError: there is no such article, or it was never asked for and people do not disagree on it.
    """
    with workspace.database.connect() as connection:
        disputed = {one.article_id: one.opinions for one in conflicts.read_conflicts(connection, article_id=article_id)}
        if article_id not in disputed and article_id not in reviews.queued(connection, [article_id]):
            raise ReviewError(f"article {article_id} was never asked for")
        champion = reads.champion(connection)
        waiting = _waiting(connection, champion.id) if champion else {}
        article = reviews.articles(connection, [article_id])[article_id]
        said, said_before = _said(connection, article_id, annotator)
        return ReviewQuestion(
            sheets.make_question(waiting[article_id], article) if article_id in waiting else _read_before(article),
            _categories(connection),
            len(waiting),
            said,
            disputed.get(article_id, ()),
            said_before,
        )


@use_case
def save_answer(
    workspace: Workspace, article_id: int, revision: int, category: str, *, annotator: str, comment: str = ""
) -> None:
    """Take in what a person says of a revision of an article; the same again changes nothing.

    Raises:
        ReviewError: the text has changed since, the article was never asked for, or a value cannot be taken.
    """
    given = _answer(article_id, revision, category, annotator, comment)
    with workspace.database.begin() as connection:
        _, refused = sheets.insert_answers(connection, [given])
    if refused:
        raise ReviewError(refused[given.line].reason)


@use_case
def resolve(
    workspace: Workspace, article_id: int, revision: int, category: str, *, annotator: str, comment: str = ""
) -> None:
    """Settle what people have said of a revision of an article.

    Raises:
        ReviewError: the text has changed since, no person has annotated it, or a value cannot be taken.
    """
    given = _answer(article_id, revision, category, annotator, comment)
    conflicts.resolve_conflict(
        workspace, article_id, given.category, annotator=given.annotator, comment=given.comment, revision=revision
    )


def _answer(article_id: int, revision: int, category: str, annotator: str, comment: str) -> SheetAnswer:
    values = {
        "id": str(article_id),
        "revision": str(revision),
        "category": normalize_category(category),
        "annotator": annotator,
        "comment": comment.strip(),
    }
    if problem := sheet.find_problem(values):
        raise ReviewError(problem)
    return SheetAnswer(1, article_id, revision, values["category"], annotator, values["comment"] or None)


def _said(connection: Connection, article_id: int, annotator: str) -> tuple[str | None, str | None]:
    """Return what a person said last: of the present text, or of an earlier one."""
    last = reviews.annotations_of(connection, article_id, annotator)
    if last is None:
        return None, None
    return (last.category, None) if last.in_force else (None, last.category)


def _waiting(connection: Connection, model_id: int) -> Mapping[int, Row[*tuple[Any, ...]]]:
    return {row.article_id: row for row in reviews.waiting(connection, model_id)}


def _read_before(article: Row[*tuple[Any, ...]]) -> SheetQuestion:
    return SheetQuestion(
        article.id, article.revision, article.source, article.external_id, article.text, None, None, ""
    )


def _categories(connection: Connection) -> tuple[str, ...]:
    """Return the champion's categories, in its order, and those that only people have named."""
    champion = reads.champion(connection)
    known: Sequence[str] = champion.categories if champion else ()
    return (*known, *sorted(reviews.categories_of_people(connection) - {*known}))
