"""What a training is given: the annotated articles of the train and the validation split."""

from __future__ import annotations

import logging
from collections import Counter

from classifier.articles import AnnotatedArticle
from classifier.exceptions import TrainingDataError
from classifier.store import reads
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1
"""Taken out of the train split where the validation split has no annotated articles."""


def read(workspace: Workspace) -> tuple[list[AnnotatedArticle], list[AnnotatedArticle]]:
    """Return the articles to train on and those to validate on; never one of the test split.

    Raises:
        TrainingDataError: there are none, or all are of one category.
    """
    with workspace.database.connect() as connection:
        train = reads.annotated_articles(connection, "train")
        validation = reads.annotated_articles(connection, "validation")
    categories = Counter(article.category for article in train)
    if not train:
        raise TrainingDataError(
            "the train split has no annotated article; run: classifier ingest FILE --category COLUMN"
        )
    if len(categories) < 2:
        raise TrainingDataError(
            f"all annotated articles are of one category, {next(iter(categories))!r}; two are needed"
        )
    if not validation:
        train, validation = _set_aside(train)
        log.info("the validation split is empty: %d articles of the train split serve as one", len(validation))
    return train, _known(validation, {article.category for article in train})


def _known(validation: list[AnnotatedArticle], categories: set[str]) -> list[AnnotatedArticle]:
    known = [article for article in validation if article.category in categories]
    if not known or len(categories) < 2:
        raise TrainingDataError(
            "too few annotated articles: some of two categories are needed to train on, and others to validate on"
        )
    if unknown := sorted({article.category for article in validation} - categories):
        log.warning("categories without an article in the train split are left out of validation: %s", unknown)
    return known


def _set_aside(articles: list[AnnotatedArticle]) -> tuple[list[AnnotatedArticle], list[AnnotatedArticle]]:
    """Divide by the texts' own hashes, so that the same articles always give the same parts.

    The last article of a category stays with the train split.
    """
    size = max(1, round(len(articles) * VALIDATION_SHARE))
    left = Counter(article.category for article in articles)
    aside: set[bytes] = set()
    for article in sorted(articles, key=lambda article: (article.text_hash, article.id)):
        if len(aside) < size and left[article.category] > 1:
            left[article.category] -= 1
            aside.add(article.text_hash)
    return (
        [article for article in articles if article.text_hash not in aside],
        [article for article in articles if article.text_hash in aside],
    )
