"""Assess the annotations of a sample of articles by a model that has not seen them.

Articles of the train and the validation split are predicted out of fold by the baseline, with near-duplicates in one
fold. Those of the test split are predicted by the classifiers of all folds. A person's annotation is learned from but
never assessed: it counts as checked.

The champion has learned the annotations of the train split, also wrong ones. Averaged with the probabilities of a model
that had learned annotations changed on purpose, the estimated number of wrong ones was a sixth of their number or less,
and the order no better. So the champion ranks only the most doubtful validation and test articles, by the mean of both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from classifier import registry
from classifier.articles import Model, Probabilities, Split, TaskKind, model_input
from classifier.evaluation import out_of_fold
from classifier.evaluation.out_of_fold import AnnotatedTexts, OutOfFold
from classifier.model import confident_learning
from classifier.model.confident_learning import Doubts
from classifier.model.decisions import decide_present
from classifier.pipeline.training import validation_split
from classifier.review.sheet import SOURCE_ANNOTATOR_PREFIX
from classifier.store import annotation_checks, connections, near_duplicate_clusters, reviews, task_rows
from classifier.store.annotation_checks import SampleRows

log = logging.getLogger(__name__)

MAX_ARTICLES = 30_000
"""Articles of a split that are assessed. Of a larger split, as many are drawn at random."""

MAX_PROBABILITIES = 4_000_000
"""Probabilities, articles by categories, that are computed for a split: with many categories, fewer articles are drawn.

This bounds the time too, since each fold trains a classifier for each category: with 666 categories, 6,006 articles are
drawn, for which a classifier trains in 0.09 s, and all of them in 5 minutes. The DAG's task has an hour.
"""

SHORTLIST_FACTOR = 3
"""Held-out articles that the champion ranks again, for each one that is listed."""


@dataclass(frozen=True, slots=True, eq=False)
class AssessedSplit:
    """The sample of a split, and how doubtful its annotations are; `first` is its first row among all articles.

    `total` is the number of articles that the sample was drawn from.
    """

    split: Split
    rows: SampleRows
    first: int
    total: int
    checked: NDArray[np.bool_]
    doubts: Doubts

    @property
    def held_out(self) -> bool:
        """Whether models are measured on the split, so that the articles to check must not be chosen by doubt alone."""
        return self.split != "train"


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """Assessed splits, and what they were assessed by; `ids` and `label_sets` are in the order of its articles."""

    splits: tuple[AssessedSplit, ...]
    predicted: OutOfFold | None
    ids: tuple[int, ...]
    label_sets: tuple[tuple[str, ...], ...]
    trained: int
    kind: TaskKind

    @property
    def annotated(self) -> int:
        """The number of annotated articles of the splits."""
        return sum(split.total for split in self.splits)

    @property
    def drawn(self) -> int:
        """The number of articles in the samples."""
        return sum(len(split.rows) for split in self.splits)

    @property
    def checked(self) -> int:
        """The number of articles that a person has annotated."""
        return sum(int(split.checked.sum()) for split in self.splits)

    @property
    def assessed(self) -> int:
        """The number of articles whose annotation could be assessed."""
        return sum(len(split.doubts.order()) for split in self.splits)

    @property
    def estimated(self) -> int:
        """The estimated number of wrong annotations."""
        return sum(split.doubts.estimated for split in self.splits)


@dataclass(frozen=True, slots=True)
class Doubt:
    """The doubt about the annotation of an article; `row` is its place in the split's sample.

    `suggested` are the categories that are more probable than the annotated ones, or nearly as probable. `score` is the
    logarithm of the odds against the annotation.
    """

    split: AssessedSplit
    row: int
    score: float
    suggested: tuple[str, ...]

    @property
    def article_id(self) -> int:
        """The article's id."""
        article_id: int = self.split.rows[self.row].id
        return article_id


@dataclass(frozen=True, slots=True)
class _StreamedTexts:
    """The texts of a sample with their titles, read from the database by each iteration."""

    connection: Connection
    rows: SampleRows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        for article in annotation_checks.stream_texts(self.connection, self.rows):
            yield model_input(article.text, article.title, read_title=True)


def assess(connection: Connection, splits: Sequence[Split], *, seed: int = 0) -> Assessment:
    """Return how doubtful the annotations of these splits are.

    The connection's transaction should be one snapshot. Models are trained in it, so the server must not end it.
    """
    connections.disable_idle_timeout(connection)
    read: tuple[Split, ...] = ("train", "validation", "test") if "test" in splits else ("train", "validation")
    size = sample_size(len(reviews.annotated_categories(connection, MAX_PROBABILITIES)))
    samples = {split: annotation_checks.annotated_sample(connection, split, size=size, seed=seed) for split in read}
    rows = list(chain.from_iterable(samples.values()))
    pool = [*samples["train"], *samples["validation"]]
    ids, label_sets = tuple(row.id for row in rows), tuple(tuple(row.categories) for row in rows)
    clusters = near_duplicate_clusters.clusters_of_articles(connection, ids[: len(pool)])
    groups = validation_split.duplicate_groups(ids[: len(pool)], clusters)
    kind = task_rows.current(connection).kind
    texts = [_StreamedTexts(connection, part) for part in (pool, rows[len(pool) :]) if part]
    predicted = out_of_fold.predict_out_of_fold(AnnotatedTexts(texts, label_sets, groups, kind)) if pool else None
    log.info("annotations of %d articles predicted out of fold, for %s", len(rows), ", ".join(splits))
    starts = np.cumsum([0, *(len(sample) for sample in samples.values())])
    assessed = [
        _assess_split(split, sample, int(first), predicted)
        for (split, sample), first in zip(samples.items(), starts, strict=False)
        if split in splits
    ]
    return Assessment(tuple(assessed), predicted, ids, label_sets, len(pool), kind)


def find_obstacle(assessment: Assessment) -> str | None:
    """Return why no annotation could be assessed; None if some could."""
    if assessment.assessed:
        return None
    if assessment.checked == assessment.drawn:
        return "people have checked all of them"
    if not assessment.trained:
        return "no article of the train and validation splits is annotated"
    if assessment.predicted is None:
        return "no term occurs in two texts"
    if assessment.kind == "multi":
        return "a category is needed that several articles have, and that several others do not have"
    return "two categories with several articles each are needed"


def sample_size(categories: int) -> int:
    """Return how many articles of a split are assessed at most, for a task with so many categories."""
    return min(MAX_ARTICLES, MAX_PROBABILITIES // max(categories, 1))


def _assess_split(split: Split, rows: SampleRows, first: int, predicted: OutOfFold | None) -> AssessedSplit:
    checked = np.array([not row.annotator.startswith(SOURCE_ANNOTATOR_PREFIX) for row in rows], dtype=np.bool_)
    doubts = Doubts(np.full(len(rows), -np.inf), (), 0)
    if predicted is not None and len(rows):
        own = slice(first, first + len(rows))
        learned = predicted.learned[own] & ~checked[:, None]
        doubts = confident_learning.find_doubts(predicted.probabilities[own], predicted.annotated[own], learned)
    return AssessedSplit(split, rows, first, rows[0].total if rows else 0, checked, doubts)


def rank(assessment: Assessment, number: int, champion: ChampionAnswers | None) -> list[Doubt]:
    """Return up to `number` doubtful annotations of all assessed splits, the most doubtful first."""
    doubts = chain.from_iterable(_rank_split(assessment, split, number, champion) for split in assessment.splits)
    return sorted(doubts, key=lambda doubt: -doubt.score)[:number]


def _rank_split(
    assessment: Assessment, split: AssessedSplit, number: int, champion: ChampionAnswers | None
) -> Iterator[Doubt]:
    predicted = assessment.predicted
    if predicted is None:
        return
    rows, doubts = split.doubts.order()[:number], split.doubts
    scores, suggested = doubts.scores[rows], doubts.suggested[rows] if len(rows) else ()
    if split.held_out and champion is not None and len(rows):
        rows = split.doubts.order()[: SHORTLIST_FACTOR * number]
        again = _doubt_again(predicted, split, rows, champion)
        order = again.order()
        rows, scores, suggested = rows[order], again.scores[order], again.suggested[order]
    for row, score, better in zip(rows.tolist(), scores.tolist(), suggested, strict=True):
        yield Doubt(split, row, score, _names(better, predicted.categories))


def _doubt_again(
    predicted: OutOfFold, split: AssessedSplit, rows: NDArray[np.int64], champion: ChampionAnswers
) -> Doubts:
    """Return the doubts of held-out articles by the mean of the baseline's and the champion's probabilities."""
    own = split.first + rows
    answers = champion.probabilities([split.rows[row].id for row in rows.tolist()])
    decided = decide_present(champion.model, answers)
    answers, columns = decided.probabilities, {name: column for column, name in enumerate(decided.categories)}
    common = [column for column, name in enumerate(predicted.categories) if name in columns]
    mean = predicted.probabilities[own]
    mean[:, common] = (mean[:, common] + answers[:, [columns[predicted.categories[column]] for column in common]]) / 2
    return confident_learning.find_doubts(mean, predicted.annotated[own], predicted.learned[own])


def _names(suggested: Any, categories: tuple[str, ...]) -> tuple[str, ...]:
    """Return the label set of a column, or of a row of a label matrix."""
    if np.ndim(suggested) == 0:
        return (categories[int(suggested)],)
    return tuple(categories[column] for column in np.flatnonzero(suggested))


class ChampionAnswers:
    """The champion's probabilities of present texts: stored ones, and others that are computed when they are needed."""

    def __init__(self, connection: Connection, model: Model, home: Path) -> None:
        self.model = model
        self._connection, self._home = connection, home
        self._known: dict[int, NDArray[np.float32]] = {}
        self._labeller: Any = None

    def probabilities(self, ids: Sequence[int]) -> Probabilities:
        """Return the probabilities of these articles, shape (articles, categories).

        Raises:
            ArtefactError: an article has no stored prediction, and the champion's files are not the registered ones.
        """
        new = [article_id for article_id in ids if article_id not in self._known]
        stored = annotation_checks.stored_predictions(self._connection, self.model.id, new)
        self._known |= {key: np.asarray(row.probabilities, np.float32) for key, row in stored.items()}
        if missing := [article_id for article_id in new if article_id not in stored]:
            self._compute(missing)
        rows = [self._known[article_id] for article_id in ids]
        return np.array(rows, dtype=np.float32).reshape(len(rows), len(self.model.categories))

    def _compute(self, ids: Sequence[int]) -> None:
        if self._labeller is None:
            self._labeller = registry.open_classifier(self.model).labeller("auto", home=self._home)
        read_title = self._labeller.read_title
        size = annotation_checks.TEXTS_PER_FETCH
        for start in range(0, len(ids), size):
            batch = ids[start : start + size]
            articles: Mapping[int, Any] = reviews.articles_by_id(self._connection, batch)
            texts = [model_input(articles[key].text, articles[key].title, read_title=read_title) for key in batch]
            self._known |= dict(zip(batch, self._labeller.probabilities(texts), strict=True))
        log.info("the champion classified %d articles without a stored prediction", len(ids))
