"""Read the annotated articles of the train and the validation split.

Their texts are in a file, not in memory: see `classifier.training.spooled_articles`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import chain

from classifier.articles import TaskKind
from classifier.exceptions import TrainingDataError
from classifier.pipeline.training import validation_split
from classifier.store import annotated_articles, near_duplicate_clusters
from classifier.training.spooled_articles import SpooledArticles, spool
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The articles to train on and to validate on; if `cut` is true, both are from the train split."""

    train: SpooledArticles
    validation: SpooledArticles
    cut: bool = False


def read_training_data(workspace: Workspace, kind: TaskKind = "single") -> tuple[SpooledArticles, SpooledArticles]:
    """Return the articles to train on and those to validate on; none of them is in the test split.

    An article of a multi-label task may have no category. Each part has at least one article.

    Raises:
        TrainingDataError: there are none, or all are of one category.
    """
    data = split_training_data(workspace)
    train, validation = data.train, data.validation
    categories = set(chain.from_iterable(train.label_sets))
    if not len(train):
        raise TrainingDataError(
            "the train split has no annotated article; run: classifier ingest FILE --category COLUMN"
        )
    if not categories:
        raise TrainingDataError("no annotated article has a category; articles of two categories are needed")
    if len(categories) < 2:
        raise TrainingDataError(
            f"all annotated articles are of one category, {next(iter(categories))!r}; at least two are needed"
        )
    return train, _of_categories(validation, categories, kind)


def split_training_data(workspace: Workspace) -> TrainingData:
    """Return the articles to train on and to validate on as they were at one moment, without checking them.

    If the validation split has no annotated article, a tenth of the train split is used instead. None of these articles
    has a near-duplicate among the articles to train on.
    """
    # one snapshot of the database, so that an article that changes meanwhile is the same in both parts
    with workspace.database.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        home = workspace.settings.home
        train = spool(annotated_articles.stream_split(connection, "train"), home)
        validation = spool(annotated_articles.stream_split(connection, "validation"), home)
        if len(validation) or not len(train):
            return TrainingData(train, validation)
        group_of = validation_split.duplicate_groups(
            train.ids, near_duplicate_clusters.clusters_of_articles(connection, train.ids)
        )
    train, validation = validation_split.choose_validation(train, group_of.tolist())
    log.info("the validation split is empty: %d articles of the train split are used instead", len(validation))
    return TrainingData(train, validation, cut=True)


def _of_categories(validation: SpooledArticles, categories: set[str], kind: TaskKind) -> SpooledArticles:
    """Return the validation articles of these categories, and warn about the others.

    All articles of a multi-label task are returned: that an article has none of the categories can be validated too.
    """
    kept = validation
    if kind == "single":
        kept = validation.take(row for row, category in enumerate(validation.categories) if category in categories)
    if not len(kept) or len(categories) < 2:
        raise TrainingDataError(
            "too few annotated articles: articles of two categories are needed to train on, and more to validate on"
        )
    if unknown := sorted({*chain.from_iterable(validation.label_sets)} - categories):
        log.warning("categories without an article in the train split are not validated: %s", unknown)
    return kept
