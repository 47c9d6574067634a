"""Export the articles that wait for review as a CSV, and import the answers that people fill in."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from classifier import atomic_files, registry
from classifier.articles import Split, Task
from classifier.exceptions import ReviewError
from classifier.names import control_character, look_alikes, normalize_category
from classifier.pipeline.review import overlap
from classifier.pipeline.use_case import use_case
from classifier.plurals import plural
from classifier.review import category_lists, sheet
from classifier.review.selection import CHECK_REASONS
from classifier.review.sheet import InvalidRow, SheetAnswer, SheetQuestion
from classifier.store import category_rows, reviews, task_rows
from classifier.taxonomy import Taxonomy
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

CHECK = "check"
"""The shown reason of held-out articles whose annotation is checked, whether they are doubtful or drawn at random."""

BLIND_REASONS = CHECK_REASONS | {"audit", CHECK}
"""Reasons, as stored or as shown, of articles for which the model's answer is hidden until they are annotated."""


@dataclass(frozen=True, slots=True)
class ExportedSheet:
    """A sheet that was written."""

    file: str
    articles: int


@dataclass(frozen=True, slots=True)
class RefusedAnswer:
    """Why an answer is refused. `advice` is what to do about it in a sheet."""

    reason: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class ImportedSheet:
    """The outcome of an import: `new` annotations, `unchanged` ones, `empty` rows and `invalid` rows.

    `conflicts` counts all articles on which people disagree now.
    """

    new: int
    unchanged: int
    empty: int
    invalid: tuple[InvalidRow, ...]
    conflicts: int

    @property
    def rows(self) -> int:
        """The rows that were read."""
        return self.new + self.unchanged + self.empty + len(self.invalid)


@use_case
def export_sheet(
    workspace: Workspace, path: Path, *, limit: int | None = None, annotator: str | None = None
) -> ExportedSheet:
    """Write the articles that wait for review, the oldest first.

    Articles drawn at random, and those whose annotation is checked, have no suggestion.

    For an annotator, also write those that wait for further people, unless this one has annotated them.

    Raises:
        NoChampionError: no model has been promoted yet.
        ReviewError: nothing waits, or the file exists already or cannot be written.
    """
    if path.exists():
        raise ReviewError(f"{path}: exists already, and may hold answers; name another file")
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
        waiting = overlap.load_waiting(connection, workspace.settings, champion.id, annotator)[:limit]
        articles = reviews.articles_by_id(connection, [row.article_id for row in waiting])
        kind = task_rows.current(connection).kind
    if not waiting:
        raise ReviewError("nothing waits for review; run: classifier review fill")
    questions = [make_question(row, articles[row.article_id]) for row in waiting]
    try:
        atomic_files.write(path, sheet.encode_sheet(questions, kind=kind))
    except OSError as error:
        raise ReviewError(f"{path}: cannot be written ({error.strerror or error})") from error
    return ExportedSheet(str(path), len(questions))


@use_case
def import_sheet(
    workspace: Workspace, path: Path, *, annotator: str | None = None, new_categories: Collection[str] = ()
) -> ImportedSheet:
    """Insert the valid answers of a sheet as annotations, and return the invalid rows with their lines and reasons.

    Importing the same sheet again changes nothing. `annotator` is the annotator of rows that name none.
    `new_categories` are categories that no model and no annotation has yet.

    Raises:
        SourceError: the file cannot be read as a sheet.
    """
    names = _check_new_categories(new_categories)
    rows = list(sheet.read_sheet(path, annotator=annotator, kind=workspace.task.kind))
    answers = [row for row in rows if isinstance(row, SheetAnswer)]
    with workspace.database.begin() as connection:
        _warn_of_look_alikes(connection, names)
        new, refused = insert_answers(connection, answers, names)
        conflicts = reviews.count_conflicts(connection)
    invalid = [row for row in rows if isinstance(row, InvalidRow)]
    invalid += [InvalidRow(line, f"{answer.reason}{answer.advice}") for line, answer in refused.items()]
    log.info("imported review sheet %s: %d new annotations, %d invalid rows", path, new, len(invalid))
    by_line = tuple(sorted(invalid, key=lambda row: row.line))
    return ImportedSheet(new, len(answers) - len(refused) - new, rows.count(None), by_line, conflicts)


def insert_answers(
    connection: Connection, answers: Sequence[SheetAnswer], new_categories: Collection[str] = ()
) -> tuple[int, dict[int, RefusedAnswer]]:
    """Insert the valid answers. A lock lets one transaction at a time do so.

    Returns:
        The number of new annotations, and the refused answers by their lines.
    """
    reviews.lock(connection)
    refused = _find_refused(connection, answers, new_categories)
    accepted = [answer for answer in answers if answer.line not in refused]
    columns: dict[str, list[Any]] = {
        "ids": [answer.article_id for answer in accepted],
        "revisions": [answer.revision for answer in accepted],
        "categories": [answer.categories for answer in accepted],
        "annotators": [answer.annotator for answer in accepted],
        "comments": [answer.comment for answer in accepted],
    }
    new, late = reviews.add_annotations(connection, columns)
    return new, refused | {accepted[index].line: _refuse_changed(accepted[index].article_id) for index in late}


def make_question(row: Row[*tuple[Any, ...]], article: Row[*tuple[Any, ...]]) -> SheetQuestion:
    """Return the question for an article that waits for review.

    The article is read after the queue, so its text may be newer: the revision is that of the text shown. People tend
    to agree with a suggestion, so articles that measure a model or an annotation have none.
    """
    is_current = row.revision == article.revision
    has_suggestion = is_current and not BLIND_REASONS.intersection(row.reasons)
    return SheetQuestion(
        id=row.article_id,
        revision=article.revision,
        source=article.source,
        external_id=article.external_id,
        text=article.text,
        suggested=tuple(row.predicted_categories) if has_suggestion else None,
        confidence=row.confidence if has_suggestion else None,
        reason=" ".join(_shown_reasons(row.reasons, article.split)),
        title=article.title,
        url=article.url,
    )


def _shown_reasons(reasons: Sequence[str], split: Split) -> Sequence[str]:
    """Return the reasons that an annotator sees: of a held-out article, not whether it is doubtful or a control."""
    if split == "train":
        return reasons
    return sorted({CHECK if reason in CHECK_REASONS else reason for reason in reasons})


def _find_refused(
    connection: Connection, answers: Sequence[SheetAnswer], new_categories: Collection[str]
) -> dict[int, RefusedAnswer]:
    """Return the answers that contradict the database, by their lines."""
    queued = reviews.queued_revisions(connection, [answer.article_id for answer in answers])
    names = {name for answer in answers for name in answer.categories}
    rules = AnswerRules.load(connection, names, new_categories)
    refused: dict[int, RefusedAnswer] = {}
    for answer in answers:
        if answer.article_id not in queued:
            refused[answer.line] = RefusedAnswer(f"article {answer.article_id} was never in the review queue")
        elif answer.revision != queued[answer.article_id]:
            refused[answer.line] = _refuse_changed(answer.article_id)
        elif problem := rules.find_problem(answer.categories):
            refused[answer.line] = problem
    return refused


@dataclass(frozen=True, slots=True)
class AnswerRules:
    """Which categories an answer may have; `other_tasks` has the task of each name that belongs to another one.

    `taxonomy` knows the categories that were retired or split, which no new answer may have.
    """

    task: Task
    allowed: frozenset[str]
    candidates: tuple[str, ...]
    other_tasks: Mapping[str, str]
    taxonomy: Taxonomy = field(default_factory=Taxonomy)

    @classmethod
    def load(cls, connection: Connection, names: Collection[str], new_categories: Collection[str] = ()) -> AnswerRules:
        """Return the rules for answers with these names."""
        task = task_rows.current(connection)
        parts = {part for name in names for part in _parts(name)} if task.kind == "single" else set()
        allowed = frozenset({*known_categories(connection, sorted({*names, *parts})), *new_categories})
        candidates = {*reviews.model_categories(connection), *allowed}
        others = reviews.categories_of_other_tasks(connection, sorted({*names, *parts} - allowed))
        return cls(task, allowed, tuple(sorted(candidates)), others, category_rows.taxonomy(connection))

    def find_problem(self, categories: Sequence[str]) -> RefusedAnswer | None:
        """Return why an answer is refused, or None."""
        if self.task.kind == "single" and (problem := self._find_list(categories)):
            return RefusedAnswer(problem)
        for name in categories:
            if closed := self.taxonomy.closed_reason(name):
                return RefusedAnswer(closed)
            if name in self.allowed:
                continue
            if other := self.other_tasks.get(name):
                return RefusedAnswer(f"category {name[:40]!r} is a category of the task {other!r}")
            advice = "; name a new category with --new-category"
            return RefusedAnswer(unknown_category_message(name, self.candidates), advice)
        return None

    def _find_list(self, categories: Sequence[str]) -> str | None:
        """Return the problem of an answer of a single-label task that does not have exactly one category."""
        rule = f"the task {self.task.name!r} has one category an article"
        names = tuple(categories)
        if len(names) == 1 and names[0] not in self.allowed:
            if names[0] == category_lists.NONE:
                return f"{category_lists.NONE} is no answer, because {rule}"
            parts = _parts(names[0])
            names = parts if all(part in self.allowed or part in self.other_tasks for part in parts) else names
        return None if len(names) == 1 else f"{plural(len(names), 'category', 'categories')} given, but {rule}"


def _parts(name: str) -> tuple[str, ...]:
    """Return the categories of a name that is perhaps a list, or the name alone."""
    try:
        return category_lists.parse_categories(name) or (name,)
    except ReviewError:
        return (name,)


def _refuse_changed(article_id: int) -> RefusedAnswer:
    return RefusedAnswer(changed_message(article_id), "; export it again")


def known_categories(connection: Connection, names: Sequence[str]) -> set[str]:
    """Return the normalized names that a model or an annotation has, in whatever form it has them."""
    of_models = {normalize_category(name) for name in reviews.model_categories(connection)}
    return reviews.known_categories(connection, names) | of_models.intersection(names)


def _check_new_categories(new_categories: Collection[str]) -> set[str]:
    names = {normalize_category(name) for name in new_categories}
    for name in names:
        if control := control_character(name):
            raise ReviewError(f"--new-category {name!r}: has the control character {control}; remove it")
    return names


def _warn_of_look_alikes(connection: Connection, names: Collection[str]) -> None:
    for group in look_alikes(names, reviews.model_categories(connection) | reviews.human_categories(connection)):
        log.warning("--new-category: %s look alike and are different categories", " and ".join(map(repr, group)))


def changed_message(article_id: int) -> str:
    """Return the message for an answer to a text that has changed."""
    return f"the text of article {article_id} has changed since"


def unknown_category_message(category: str, candidates: Sequence[str]) -> str:
    """Return the message for an unknown category, with the most similar candidate, if any."""
    by_folded = {name.casefold(): name for name in candidates}
    matches = get_close_matches(category.casefold(), by_folded, n=1)
    hint = f" (did you mean {by_folded[matches[0]]!r}?)" if matches else ""
    return f"category {category[:40]!r} is unknown{hint}"
