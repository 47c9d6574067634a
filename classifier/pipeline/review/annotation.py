"""Show an annotator the articles that wait for review, one by one, and save their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, Row

from classifier import registry
from classifier.articles import TaskKind
from classifier.exceptions import ReviewError
from classifier.names import normalize_category
from classifier.pipeline.review import conflicts, overlap, sheets
from classifier.pipeline.review.conflicts import Opinion
from classifier.pipeline.use_case import use_case
from classifier.review import sheet
from classifier.review.sheet import SheetAnswer, SheetQuestion
from classifier.store import category_rows, model_rows, reviews, task_rows
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ReviewQuestion:
    """An article for an annotator, with its present text, and the categories to choose from.

    `article` has a suggestion only if it may be shown, and a reason only if the article still waits. `own_answer` is
    the annotator's last answer; `former_answer` is their last answer to an earlier text that has become another one.
    `opinions` are all annotators' answers if people disagree. `waiting` counts articles. In a task of the kind `multi`,
    an answer has any number of categories.
    """

    article: SheetQuestion
    categories: tuple[str, ...]
    waiting: int
    own_answer: tuple[str, ...] | None = None
    opinions: tuple[Opinion, ...] = ()
    former_answer: tuple[str, ...] | None = None
    kind: TaskKind = "single"


@use_case
def next_question(workspace: Workspace, annotator: str, *, after: int | None = None) -> ReviewQuestion | None:
    """Return the next article that waits after another one, or None if nothing waits.

    Articles follow each other by id, in a circle: a skipped article comes again after the others. Without `after`,
    each annotator starts at another place, so that two annotators seldom read the same article.

    Raises:
        NoChampionError: no model has been promoted yet.
    """
    with workspace.database.connect() as connection:
        waiting = _load_waiting(connection, workspace, registry.champion(connection).id, annotator)
        if not waiting:
            return None
        ids = sorted(waiting)
        first = ids[crc32(annotator.encode()) % len(ids)] if after is None else ids[0]
        chosen = next((article_id for article_id in ids if after is not None and article_id > after), first)
        article = sheets.make_question(waiting[chosen], reviews.articles_by_id(connection, [chosen])[chosen])
        own, former = _load_answers(connection, chosen, annotator)
        categories, kind = _load_categories(connection), task_rows.current(connection).kind
        return ReviewQuestion(article, categories, len(waiting), own, former_answer=former, kind=kind)


@use_case
def read_question(workspace: Workspace, article_id: int, annotator: str) -> ReviewQuestion:
    """Return an article that was in the review queue, so that an answer can be changed or a conflict resolved.

    Raises:
        ReviewError: the article was never in the queue, and people do not disagree on it.
    """
    with workspace.database.connect() as connection:
        disputed = {
            conflict.article_id: conflict.opinions
            for conflict in conflicts.read_conflicts(connection, article_id=article_id)
        }
        if article_id not in disputed and article_id not in reviews.queued_revisions(connection, [article_id]):
            raise ReviewError(f"article {article_id} was never in the review queue")
        champion = model_rows.champion(connection)
        waiting = _load_waiting(connection, workspace, champion.id, annotator) if champion else {}
        row = reviews.articles_by_id(connection, [article_id])[article_id]
        own, former = _load_answers(connection, article_id, annotator)
        return ReviewQuestion(
            sheets.make_question(waiting[article_id], row) if article_id in waiting else _make_reviewed(row),
            _load_categories(connection),
            len(waiting),
            own,
            disputed.get(article_id, ()),
            former,
            task_rows.current(connection).kind,
        )


@use_case
def save_answer(
    workspace: Workspace,
    article_id: int,
    revision: int,
    categories: Sequence[str],
    *,
    annotator: str,
    comment: str = "",
) -> None:
    """Save an annotator's answer to a revision of an article. Saving the same answer again changes nothing.

    In a multi-label task, an answer without categories says that the article has none.

    Raises:
        ReviewError: the text has changed since, the article was never in the review queue, or a value is invalid.
    """
    answer = _make_answer(article_id, revision, categories, annotator, comment)
    with workspace.database.begin() as connection:
        _, refused = sheets.insert_answers(connection, [answer])
    if refused:
        raise ReviewError(refused[answer.line].reason)


@use_case
def resolve(
    workspace: Workspace,
    article_id: int,
    revision: int,
    categories: Sequence[str],
    *,
    annotator: str,
    comment: str = "",
) -> None:
    """Resolve a conflict on a revision of an article.

    Raises:
        ReviewError: the text has changed since, no person has annotated it, or a value is invalid.
    """
    answer = _make_answer(article_id, revision, categories, annotator, comment)
    conflicts.resolve_conflict(
        workspace, article_id, answer.categories, annotator=answer.annotator, comment=answer.comment, revision=revision
    )


def _make_answer(
    article_id: int, revision: int, categories: Sequence[str], annotator: str, comment: str
) -> SheetAnswer:
    names = tuple(map(normalize_category, categories))
    values = {"id": str(article_id), "revision": str(revision), "annotator": annotator, "comment": comment.strip()}
    if problem := sheet.find_problem(values, names):
        raise ReviewError(problem)
    return SheetAnswer(1, article_id, revision, names, annotator, values["comment"] or None)


_Answer = tuple[str, ...] | None


def _load_answers(connection: Connection, article_id: int, annotator: str) -> tuple[_Answer, _Answer]:
    """Return an annotator's last answer: to the present text, or to an earlier text."""
    last = reviews.last_annotation(connection, article_id, annotator)
    if last is None:
        return None, None
    answer = category_rows.taxonomy(connection).present_set(last.categories)
    return (answer, None) if last.in_force else (None, answer)


def _load_waiting(
    connection: Connection, workspace: Workspace, model_id: int, annotator: str
) -> Mapping[int, overlap.WaitingRow]:
    rows = overlap.load_waiting(connection, workspace.settings, model_id, annotator)
    return {row.article_id: row for row in rows}


def _make_reviewed(article: Row[*tuple[Any, ...]]) -> SheetQuestion:
    """Return the question for an article that no longer waits."""
    return SheetQuestion(
        id=article.id,
        revision=article.revision,
        source=article.source,
        external_id=article.external_id,
        text=article.text,
        suggested=None,
        confidence=None,
        reason="",
        title=article.title,
        url=article.url,
    )


def _load_categories(connection: Connection) -> tuple[str, ...]:
    """Return the champion's categories, in its order, then those that only people have used or a split has brought."""
    champion = model_rows.champion(connection)
    active = category_rows.taxonomy(connection).active(champion.categories) if champion else set()
    names = dict.fromkeys(champion.present_categories) if champion else {}
    of_champion = [name for name in names if name in active]
    return (*of_champion, *sorted(reviews.human_categories(connection) - {*of_champion}))
