"""Send what waits for review to people as a CSV, and take in what they have filled in."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from classifier import atomic_files, registry
from classifier.exceptions import ReviewError
from classifier.names import control_character, look_alikes, normalize_category
from classifier.pipeline.use_case import use_case
from classifier.review import sheet
from classifier.review.sheet import InvalidRow, SheetAnswer, SheetQuestion
from classifier.store import reviews
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExportedSheet:
    """A sheet that was written."""

    file: str
    articles: int


@dataclass(frozen=True, slots=True)
class RefusedAnswer:
    """Why an answer is not taken in, and what helps where it stands in a sheet."""

    reason: str
    in_a_sheet: str = ""


@dataclass(frozen=True, slots=True)
class ImportedSheet:
    """What a sheet brought: `new` annotations, `unchanged` ones that were known, rows left `empty` or `set_aside`.

    `conflicts` counts the articles that people disagree on now, wherever from.
    """

    new: int
    unchanged: int
    empty: int
    set_aside: tuple[InvalidRow, ...]
    conflicts: int

    @property
    def rows(self) -> int:
        """The rows that were read."""
        return self.new + self.unchanged + self.empty + len(self.set_aside)


@use_case
def export_sheet(workspace: Workspace, path: Path, *, limit: int | None = None) -> ExportedSheet:
    """Write what waits for review, the oldest first. No suggestion is shown of what was drawn at random.

    Raises:
        NoChampionError: no model has been promoted yet.
        ReviewError: nothing waits, or the file is there already or cannot be written.
    """
    if path.exists():
        raise ReviewError(f"{path}: is there already, and may hold somebody's work; name another file")
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
        waiting = reviews.waiting(connection, champion.id)[:limit]
        articles = reviews.articles(connection, [row.article_id for row in waiting])
    if not waiting:
        raise ReviewError("nothing waits for review; run: classifier review fill")
    found = [make_question(row, articles[row.article_id]) for row in waiting]
    try:
        atomic_files.write(path, sheet.encode_sheet(found))
    except OSError as error:
        raise ReviewError(f"{path}: cannot be written ({error.strerror or error})") from error
    return ExportedSheet(str(path), len(found))


@use_case
def import_sheet(
    workspace: Workspace, path: Path, *, annotator: str | None = None, new_categories: Collection[str] = ()
) -> ImportedSheet:
    """Take a filled sheet in: what is good becomes annotations, what is not is set aside with its line and reason.

    The same sheet again changes nothing. `annotator` is whose the rows are that name nobody; `new_categories` are
    those that no model and no annotation has yet.

    Raises:
        SourceError: the file cannot be read as a sheet.
    """
    names = _checked_names(new_categories)
    rows = list(sheet.read_sheet(path, annotator=annotator))
    answers = [row for row in rows if isinstance(row, SheetAnswer)]
    with workspace.database.begin() as connection:
        _warn_of_look_alikes(connection, names)
        new, refused = insert_answers(connection, answers, names)
        conflicts = reviews.conflicts(connection)
    aside = [row for row in rows if isinstance(row, InvalidRow)]
    aside += [InvalidRow(line, f"{one.reason}{one.in_a_sheet}") for line, one in refused.items()]
    log.info("review of %s: %d annotations, %d rows set aside", path, new, len(aside))
    by_line = tuple(sorted(aside, key=lambda one: one.line))
    return ImportedSheet(new, len(answers) - len(refused) - new, rows.count(None), by_line, conflicts)


def insert_answers(
    connection: Connection, answers: Sequence[SheetAnswer], new_categories: Collection[str] = ()
) -> tuple[int, dict[int, RefusedAnswer]]:
    """Insert the answers that can be taken in, in one transaction at a time.

    Returns:
        How many say something new, and what is against the others, by their line.
    """
    reviews.lock(connection)
    refused = _refused(connection, answers, new_categories)
    good = [answer for answer in answers if answer.line not in refused]
    columns: dict[str, list[Any]] = {
        "ids": [answer.article_id for answer in good],
        "revisions": [answer.revision for answer in good],
        "categories": [answer.category for answer in good],
        "annotators": [answer.annotator for answer in good],
        "comments": [answer.comment for answer in good],
    }
    new, late = reviews.annotate(connection, columns)
    return new, refused | {good[index].line: _changed_since(good[index].article_id) for index in late}


def make_question(row: Row[*tuple[Any, ...]], article: Row[*tuple[Any, ...]]) -> SheetQuestion:
    """Return what a human is shown of an article that waits.

    The article was read after the queue, so its text may be newer: the revision is that of the text shown.
    """
    present = row.revision == article.revision
    shown = present and "audit" not in row.reasons  # who sees a suggestion tends to agree with it
    return SheetQuestion(
        id=row.article_id,
        revision=article.revision,
        source=article.source,
        external_id=article.external_id,
        text=article.text,
        suggested=row.category if shown else None,
        confidence=row.confidence if shown else None,
        reason=" ".join(row.reasons),
    )


def _refused(
    connection: Connection, answers: Sequence[SheetAnswer], new_categories: Collection[str]
) -> dict[int, RefusedAnswer]:
    """Return what the database has against answers, by their line."""
    queued = reviews.queued(connection, [answer.article_id for answer in answers])
    known = {*known_categories(connection, [answer.category for answer in answers]), *new_categories}
    near = sorted({*reviews.categories(connection), *known})
    refused: dict[int, RefusedAnswer] = {}
    for answer in answers:
        if answer.article_id not in queued:
            refused[answer.line] = RefusedAnswer(f"article {answer.article_id} was never asked for")
        elif answer.revision != queued[answer.article_id]:
            refused[answer.line] = _changed_since(answer.article_id)
        elif answer.category not in known:
            advice = "; a new one has to be named with --new-category"
            refused[answer.line] = RefusedAnswer(unknown_category_message(answer.category, near), advice)
    return refused


def _changed_since(article_id: int) -> RefusedAnswer:
    return RefusedAnswer(changed_message(article_id), "; export it again")


def known_categories(connection: Connection, names: Sequence[str]) -> set[str]:
    """Return those of the normalized names that a model or an annotation has, in whatever form."""
    of_models = {normalize_category(name) for name in reviews.categories(connection)}
    return reviews.known_categories(connection, names) | of_models.intersection(names)


def _checked_names(new_categories: Collection[str]) -> set[str]:
    names = {normalize_category(name) for name in new_categories}
    for name in names:
        if control := control_character(name):
            raise ReviewError(f"--new-category {name!r}: has the control character {control}; write it without")
    return names


def _warn_of_look_alikes(connection: Connection, names: Collection[str]) -> None:
    for group in look_alikes(names, reviews.categories(connection) | reviews.categories_of_people(connection)):
        log.warning("--new-category: %s look alike and are different categories", " and ".join(map(repr, group)))


def changed_message(article_id: int) -> str:
    """Say that an answer is to another text."""
    return f"the text of article {article_id} has changed since"


def unknown_category_message(category: str, known: Sequence[str]) -> str:
    """Say that there is no such category, and which may be meant."""
    by_folded = {name.casefold(): name for name in known}
    near = get_close_matches(category.casefold(), by_folded, n=1)
    hint = f"; is {by_folded[near[0]]!r} meant?" if near else ""
    return f"category {category[:40]!r} is not known{hint}"
