"""What the check of annotations reads: a sample of annotated articles, and predictions that are stored already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from classifier.articles import AnnotatedArticle, Split
from classifier.store import reviews, task_rows
from classifier.store.queries import query

SampleRows = Sequence[Row[*tuple[Any, ...]]]

_PROTECTED_SPLITS: Mapping[Split, list[Split]] = {"train": ["validation", "test"], "validation": ["test"], "test": []}
"""The splits whose texts must not occur in this one, as in training."""

TEXTS_PER_FETCH = 256
"""Texts that are in memory at a time."""


def annotated_sample(connection: Connection, split: Split, *, size: int, seed: int) -> SampleRows:
    """Return up to `size` annotated articles of a split, by id; the same seed draws the same ones.

    Columns: the article's id, source, external_id and revision, categories and annotator of the annotation that counts,
    and total, the number of articles drawn from.
    """
    values = {
        "task_id": task_rows.current_id(connection),
        "split": split,
        "protected_splits": _PROTECTED_SPLITS[split],
        "size": size,
        "seed": seed,
    }
    return connection.execute(query("annotated_sample"), values).all()


def stream_texts(connection: Connection, rows: SampleRows) -> Iterator[AnnotatedArticle]:
    """Yield the articles of a sample with their titles and texts, with only a few in memory at a time."""
    for start in range(0, len(rows), TEXTS_PER_FETCH):
        batch = rows[start : start + TEXTS_PER_FETCH]
        articles = reviews.articles_by_id(connection, [row.id for row in batch])
        for row in batch:
            article = articles[row.id]
            yield AnnotatedArticle(row.id, article.text, b"", tuple(row.categories), article.title)


def checked_annotations(connection: Connection) -> SampleRows:
    """Return split, reason, by_person and doubted of each article whose annotation was to be checked.

    `by_person` are the categories of a person's annotation that counts, and `doubted` the recorded ones of the source's
    annotation when the article was queued; None if there is none. The rows are ordered by split and reason.
    """
    return connection.execute(query("checked_annotations"), {"task_id": task_rows.current_id(connection)}).all()


def stored_predictions(connection: Connection, model_id: int, ids: Sequence[int]) -> dict[int, Row[*tuple[Any, ...]]]:
    """Return category_indices, confidence and probabilities of the model's predictions on present texts, by article."""
    rows = connection.execute(query("stored_predictions"), {"model_id": model_id, "ids": list(ids)})
    return {row.id: row for row in rows}
