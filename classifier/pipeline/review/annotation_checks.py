"""List annotations that are probably wrong, and queue them for review. A model changes no annotation.

Articles of the train split are queued as *doubtful*. If only doubtful articles of a held-out split were annotated
again, the corrections would all go towards the model, and its accuracy would look better than it is. So as many others
of the split, drawn at random, are queued with them, as *control*. Annotators cannot tell which are which, and see
neither the annotation nor a prediction. The validation split is held out too: thresholds are chosen on it.

An article is checked once: afterwards, a person's annotation of its present text is in force.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from sqlalchemy import Connection

from classifier import registry
from classifier.articles import SPLITS, Model, Split
from classifier.evaluation import out_of_fold
from classifier.exceptions import QueueChangedError, ReviewError
from classifier.model import decisions
from classifier.pipeline.erasure.article_copies import copies_articles
from classifier.pipeline.review import doubtful_articles
from classifier.pipeline.review.doubtful_articles import AssessedSplit, Assessment, ChampionAnswers, Doubt
from classifier.pipeline.use_case import use_case
from classifier.review.selection import CHECK_REASONS, Reason
from classifier.store import model_rows, reviews
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

Scope = Literal["train", "validation", "test", "all"]

MAX_LISTED = 500
"""Articles that are listed or queued by default, if more annotations than these are probably wrong."""

NEIGHBOURS = 3
"""Nearest annotated articles that are shown for each doubtful one."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An annotated article of the train or validation split with similar words: TF-IDF's cosine, from 0 to 1."""

    article_id: int
    categories: tuple[str, ...]
    similarity: float


@dataclass(frozen=True, slots=True)
class DoubtfulArticle:
    """An article whose annotation is probably wrong.

    `probability` is that of the annotation compared with the suggestion alone, so 0.5 if both are as probable; in a
    multi-label task, that of the most doubtful decision. `predicted` are the champion's labels, with its confidence; of
    a train article, it may have learned them from this annotation. Without a champion, both are None.
    """

    article_id: int
    source: str
    external_id: str
    split: Split
    annotated: tuple[str, ...]
    annotator: str
    suggested: tuple[str, ...]
    probability: float
    predicted: tuple[str, ...] | None
    confidence: float | None
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class CategoryDoubts:
    """How many articles are annotated with a category, and of how many the list doubts it.

    In a multi-label task, `doubtful` also counts the articles in which it is probably missing.
    """

    category: str
    annotated: int
    doubtful: int


@dataclass(frozen=True, slots=True)
class DoubtfulAnnotations:
    """The annotations that are probably wrong, the most doubtful first.

    Of `annotated` articles, `drawn` were examined, because there are too many if both differ; `checked` of these have a
    person's annotation, and `assessed` could be assessed. About `estimated` of the assessed annotations are wrong.
    If none could be assessed, `obstacle` says why. `categories` counts what `articles` lists.
    """

    annotated: int
    drawn: int
    checked: int
    assessed: int
    estimated: int
    obstacle: str | None
    model: str | None
    categories: tuple[CategoryDoubts, ...]
    articles: tuple[DoubtfulArticle, ...]


@dataclass(frozen=True, slots=True)
class QueuedDoubts:
    """The numbers of articles that were queued, and of articles that wait until their annotation is checked.

    `annotated`, `drawn` and `estimated` are as in the list.
    """

    model: str
    annotated: int
    drawn: int
    estimated: int
    doubtful: int
    control: int
    waiting: int


@use_case
@copies_articles
def list_doubtful(
    workspace: Workspace, *, scope: str = "train", number: int | None = None, seed: int = 0
) -> DoubtfulAnnotations:
    """Return the most doubtful annotations of a split; by default, as many as are estimated to be wrong.

    Of a large split, a sample is examined; another `seed` draws another sample.

    Raises:
        ReviewError: the split is unknown, or has no annotated article.
        ArtefactError: the champion's files are not the registered ones.
    """
    splits = _splits(scope)
    with workspace.database.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        assessment = _assess(connection, splits, seed)
        champion = model_rows.champion(connection)
        answers = ChampionAnswers(connection, champion, workspace.settings.home) if champion else None
        doubts = doubtful_articles.rank(assessment, _number(assessment, number), answers)
        articles = _describe(assessment, doubts, answers)
    return DoubtfulAnnotations(
        annotated=assessment.annotated,
        drawn=assessment.drawn,
        checked=assessment.checked,
        assessed=assessment.assessed,
        estimated=assessment.estimated,
        obstacle=doubtful_articles.find_obstacle(assessment),
        model=champion.name if champion else None,
        categories=_count_by_category(assessment, articles),
        articles=articles,
    )


@use_case
@copies_articles
def queue_doubtful(
    workspace: Workspace, *, scope: str = "train", number: int | None = None, seed: int = 0
) -> QueuedDoubts:
    """Queue the articles that `list_doubtful` returns; of a held-out split, as many others drawn at random.

    Articles that wait already are not queued again, so that running it twice adds nothing.

    Raises:
        NoChampionError: no model has been promoted yet: questions belong to the champion.
        QueueChangedError: meanwhile, another model has become champion, or another run has queued articles.
        ReviewError, ArtefactError: as above.
    """
    splits = _splits(scope)
    with workspace.database.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        answers = ChampionAnswers(connection, registry.champion(connection), workspace.settings.home)
        assessment = _assess(connection, splits, seed)
        doubts = doubtful_articles.rank(assessment, _number(assessment, number), answers)
        waiting = _waiting(connection, answers.model)
        picked = _pick(assessment, doubts, waiting)
        columns = _columns(assessment, answers, picked)
    with workspace.database.begin() as connection:
        reviews.lock(connection)
        _check_unchanged(connection, answers.model, waiting)
        added = {reason: reviews.enqueue(connection, answers.model.id, columns[reason]) for reason in picked}
        count = len(_waiting(connection, answers.model))
    log.info("%d doubtful annotations queued, %d control articles", added["doubtful"], added["control"])
    return QueuedDoubts(
        answers.model.name,
        assessment.annotated,
        assessment.drawn,
        assessment.estimated,
        added["doubtful"],
        added["control"],
        count,
    )


def _splits(scope: str) -> tuple[Split, ...]:
    if scope not in get_args(Scope):
        raise ReviewError(f"split {scope[:40]!r}: unknown; choose from {', '.join(get_args(Scope))}")
    return tuple(split for split in SPLITS if scope in {split, "all"})


def _assess(connection: Connection, splits: Sequence[Split], seed: int) -> Assessment:
    assessment = doubtful_articles.assess(connection, splits, seed=seed)
    if not any(split.total for split in assessment.splits):
        name = f"the {splits[0]} split has" if len(splits) == 1 else "there is"
        raise ReviewError(f"{name} no annotated article; run: classifier ingest FILE --category COLUMN")
    return assessment


def _number(assessment: Assessment, number: int | None) -> int:
    return min(assessment.estimated, MAX_LISTED) if number is None else number


def _waiting(connection: Connection, model: Model) -> set[int]:
    """Return the articles that wait until their annotation is checked."""
    rows = reviews.waiting_reviews(connection, model.id)
    return {row.article_id for row in rows if CHECK_REASONS.intersection(row.reasons)}


def _check_unchanged(connection: Connection, champion: Model, waiting: Collection[int]) -> None:
    """Raise an error if another run has queued articles meanwhile: it has drawn control articles of its own."""
    if registry.champion(connection).id != champion.id:
        raise QueueChangedError("another model has become champion meanwhile; run the command again")
    if not _waiting(connection, champion) <= {*waiting}:
        raise QueueChangedError("another run has queued doubtful articles meanwhile; run the command again")


def _pick(assessment: Assessment, doubts: Sequence[Doubt], waiting: Collection[int]) -> dict[Reason, list[int]]:
    """Return the articles to queue by reason; of each held-out split, as many as are doubtful are drawn at random."""
    new = [doubt for doubt in doubts if doubt.article_id not in waiting]
    control = [
        article_id
        for split in assessment.splits
        if split.held_out
        for article_id in _draw(split, [doubt for doubt in new if doubt.split is split], doubts, waiting)
    ]
    return {"doubtful": [doubt.article_id for doubt in new], "control": control}


def _draw(
    split: AssessedSplit, new: Sequence[Doubt], doubts: Sequence[Doubt], waiting: Collection[int]
) -> Iterator[int]:
    """Yield random articles of a split that are not checked, not in the list, and not in the queue."""
    listed = {*waiting, *(doubt.article_id for doubt in doubts)}
    eligible = [row.id for row, checked in zip(split.rows, split.checked, strict=True) if not checked]
    others = [article_id for article_id in eligible if article_id not in listed]
    for index in np.random.default_rng().permutation(len(others))[: len(new)]:
        yield others[int(index)]


def _columns(
    assessment: Assessment, answers: ChampionAnswers, picked: dict[Reason, list[int]]
) -> dict[Reason, dict[str, list[Any]]]:
    """Return the columns of the queue's rows by reason."""
    columns: dict[Reason, dict[str, list[Any]]] = {}
    revisions = {row.id: row.revision for split in assessment.splits for row in split.rows}
    for reason, ids in picked.items():
        decided = decisions.decide(answers.model, answers.probabilities(ids))
        columns[reason] = {
            "ids": ids,
            "revisions": [revisions[article_id] for article_id in ids],
            "reasons": [reason] * len(ids),
            "positions": [[int(column) + 1 for column in np.flatnonzero(labels)] for labels in decided.labels],
            "confidences": decided.confidence.tolist(),
        }
    return columns


def _describe(
    assessment: Assessment, doubts: Sequence[Doubt], answers: ChampionAnswers | None
) -> tuple[DoubtfulArticle, ...]:
    if assessment.predicted is None or not doubts:
        return ()
    ids = [doubt.article_id for doubt in doubts]
    predicted: Sequence[tuple[tuple[str, ...] | None, float | None]] = [(None, None)] * len(ids)
    if answers is not None:
        decided = decisions.decide_present(answers.model, answers.probabilities(ids))
        names = decisions.names_of(decided.labels, decided.categories)
        predicted = list(zip(names, map(float, decided.confidence), strict=True))
    rows = [doubt.split.first + doubt.row for doubt in doubts]
    nearest = out_of_fold.nearest(assessment.predicted.vectors, rows, assessment.trained, NEIGHBOURS)
    described = []
    for doubt, (labels, confidence), near in zip(doubts, predicted, nearest, strict=True):
        row = doubt.split.rows[doubt.row]
        described.append(
            DoubtfulArticle(
                article_id=doubt.article_id,
                source=row.source,
                external_id=row.external_id,
                split=doubt.split.split,
                annotated=tuple(row.categories),
                annotator=row.annotator,
                suggested=doubt.suggested,
                probability=float(1 / (1 + np.exp(doubt.score))),
                predicted=labels,
                confidence=confidence,
                neighbours=tuple(
                    Neighbour(assessment.ids[index], assessment.label_sets[index], cosine) for index, cosine in near
                ),
            )
        )
    return tuple(described)


def _count_by_category(assessment: Assessment, articles: Sequence[DoubtfulArticle]) -> tuple[CategoryDoubts, ...]:
    """Return the categories in alphabetical order; of a label set, only the decisions that differ are doubtful."""
    annotated = Counter(name for split in assessment.splits for row in split.rows for name in row.categories)
    doubtful: Counter[str] = Counter()
    for article in articles:
        differing = {*article.annotated} ^ {*article.suggested}
        doubtful.update(differing if assessment.kind == "multi" else article.annotated)
    return tuple(CategoryDoubts(name, annotated[name], doubtful[name]) for name in sorted({*annotated, *doubtful}))
