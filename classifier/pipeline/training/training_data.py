"""What a training is given: the annotated articles of the train and the validation split.

Their texts are in a file and not in memory: see `classifier.training.spooled_articles`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from classifier.exceptions import TrainingDataError
from classifier.pipeline.training import validation_split
from classifier.store import annotated_articles, near_duplicate_clusters
from classifier.training.spooled_articles import SpooledArticles, spool
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The articles to train on and to validate on; with `cut`, both are of the train split."""

    train: SpooledArticles
    validation: SpooledArticles
    cut: bool = False


def read_training_data(workspace: Workspace) -> tuple[SpooledArticles, SpooledArticles]:
    """Return the articles to train on and those to validate on; never one of the test split.

    Raises:
        TrainingDataError: there are none, or all are of one category.
    """
    found = split_training_data(workspace)
    train, validation = found.train, found.validation
    categories = {*train.categories}
    if not len(train):
        raise TrainingDataError(
            "the train split has no annotated article; run: classifier ingest FILE --category COLUMN"
        )
    if len(categories) < 2:
        raise TrainingDataError(
            f"all annotated articles are of one category, {next(iter(categories))!r}; two are needed"
        )
    return train, _known(validation, categories)


def split_training_data(workspace: Workspace) -> TrainingData:
    """Return the articles to train on and to validate on, whatever they are, as they were at one moment.

    Where the validation split has no annotated article, a tenth of the train split serves as one: no article of it
    has a near-duplicate in the rest.
    """
    # one snapshot, so that an article that changes meanwhile is in both parts or in neither as it was
    with workspace.database.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        home = workspace.settings.home
        train = spool(annotated_articles.stream_split(connection, "train"), home)
        validation = spool(annotated_articles.stream_split(connection, "validation"), home)
        if len(validation) or not len(train):
            return TrainingData(train, validation)
        group_of = validation_split.groups(
            train.ids, near_duplicate_clusters.clusters_of_articles(connection, train.ids)
        )
    train, validation = validation_split.choose_validation(train, group_of.tolist())
    log.info("the validation split is empty: %d articles of the train split serve as one", len(validation))
    return TrainingData(train, validation, cut=True)


def _known(validation: SpooledArticles, categories: set[str]) -> SpooledArticles:
    known = validation.take(row for row, category in enumerate(validation.categories) if category in categories)
    if not len(known) or len(categories) < 2:
        raise TrainingDataError(
            "too few annotated articles: some of two categories are needed to train on, and others to validate on"
        )
    if unknown := sorted({*validation.categories} - categories):
        log.warning("categories without an article in the train split are left out of validation: %s", unknown)
    return known
