"""Articles with the annotation that counts: what models are trained and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, func, select

from classifier.articles import AnnotatedArticle, Split
from classifier.store import task_rows
from classifier.store.queries import query

_PROTECTED_SPLITS: Mapping[Split, list[Split]] = {"train": ["validation", "test"], "validation": ["test"], "test": []}
"""The splits whose texts must not occur in this one."""

_ROWS_PER_FETCH = 64
"""Rows in the driver's memory at a time."""


def load_split(connection: Connection, split: Split) -> list[AnnotatedArticle]:
    """Return a split's annotated articles, ordered by id, without texts that also occur in a protected split."""
    return list(stream_split(connection, split))


def stream_split(connection: Connection, split: Split) -> Iterator[AnnotatedArticle]:
    """Yield the articles of `load_split`, with only a few in memory at a time."""
    # By default, Postgres plans a cursor for its first rows only.
    connection.execute(select(func.set_config("cursor_tuple_fraction", "1.0", True)))
    values = {"task_id": task_rows.current_id(connection), "split": split, "protected_splits": _PROTECTED_SPLITS[split]}
    rows = connection.execute(query("annotated_articles"), values, execution_options={"yield_per": _ROWS_PER_FETCH})
    return (AnnotatedArticle(row.id, row.text, input_hash(row), tuple(row.categories), row.title) for row in rows)


def input_hash(row: Row[*tuple[Any, ...]]) -> bytes:
    """Return the hash of an article's text and, if there is one, of its title; models read both.

    A title holds no NUL, so the pair is unique. The column input_hash of `sql/erasures.sql` is the same.
    """
    return bytes(row.text_hash) if row.title is None else sha256(f"{row.title}\0{row.text}".encode()).digest()


def count_by_category_and_split(connection: Connection) -> dict[tuple[str | None, Split], int]:
    """Return the number of articles of each category and split; one with several categories counts for each of them.

    Category None counts articles without annotation, and "" those that were annotated with no category.
    """
    rows = connection.execute(query("annotated_article_counts"), {"task_id": task_rows.current_id(connection)})
    return {(category, split): count for category, split, count in rows}


def newest_texts(
    connection: Connection,
    categories: Sequence[str],
    *,
    without: int | None,
    examined: int,
    per_category: int,
    characters: int,
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return articles that were annotated last with one of these categories, `per_category` of each, newest first.

    Of all annotations, the `examined` newest are read. Articles of the test split, those on which annotators disagree,
    those whose annotation waits for a check and the article `without` are left out. Columns: id, source, external_id,
    title, url, revision, categories, and the first `characters` of the text.
    """
    values = {"task_id": task_rows.current_id(connection), "categories": list(categories), "without": without}
    values |= {"examined": examined, "per_category": per_category, "characters": characters}
    return connection.execute(query("newest_annotated_texts"), values).all()


def count_by_split(connection: Connection) -> dict[Split, tuple[int, int]]:
    """Return the number of articles of each split, and of those that are annotated."""
    rows = connection.execute(query("annotated_article_totals"), {"task_id": task_rows.current_id(connection)})
    return {split: (articles, annotated) for split, articles, annotated in rows}


def uncovered_categories(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return name, has_train_articles, champion_knows and articles of categories that a model cannot predict."""
    return connection.execute(query("uncovered_categories"), {"task_id": task_rows.current_id(connection)}).all()
