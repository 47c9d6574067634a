"""Articles of three topics that are easy to distinguish, and helpers that insert and label them."""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from classifier import registry
from classifier.articles import Model
from classifier.evaluation.margins import Margins
from classifier.ingest.readers import Columns
from classifier.pipeline.ingest import units
from classifier.store import evaluations, model_rows, task_rows
from tests.support.tiny_models import make_artefact

WORDS = {
    "business": ("bank", "shares", "market"),
    "sport": ("team", "goal", "match"),
    "tech": ("chip", "soft", "phone"),
}
COLUMNS = Columns("text", "category", "id")
LENIENT = Margins(
    alpha=0.999, macro_f1=1, accuracy=1, category_f1=1, slice_accuracy=1, calibration=1, baseline=1, floor_macro_f1=-1
)
"""Margins that every model passes, even with random weights."""


def articles(count: int, *, seed: int = 0, prefix: str = "a") -> list[dict[str, str]]:
    """Return rows of id, text and category; all texts differ."""
    generator = random.Random(seed)
    rows = []
    for number in range(count):
        category = list(WORDS)[number % len(WORDS)]
        words = generator.choices((*WORDS[category], *WORDS[category], "the"), k=generator.randint(4, 20))
        rows.append({"id": f"{prefix}{number}", "text": f"{' '.join(words)} {prefix}{number}", "category": category})
    return rows


def unlabelled(count: int, **options: Any) -> list[dict[str, str]]:
    return [{**row, "category": ""} for row in articles(count, **options)]


def write_csv(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def ingest_file(
    workspace, path: Path, rows: Sequence[Mapping[str, str]] | None = None, columns: Columns = COLUMNS, **more
):
    """Ingest the CSV file at the path; if rows are given, write them to it first."""
    if rows is not None:
        write_csv(path, rows)
    return units.ingest_files(workspace, str(path), units.IngestOptions(columns, **more))


def query(database: Engine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]


def value(database: Engine, statement: str, **values: Any) -> Any:
    return query(database, statement, **values)[0][0]


def run(database: Engine, statement: str, **values: Any) -> None:
    with database.begin() as connection:
        connection.execute(text(statement), values)


def dump(database: Engine, *tables: str) -> dict[str, list[str]]:
    """Return every row of the tables as text: ids, timestamps and all."""
    names = tables or ("articles", "splits", "annotations", "labelling_queue", "rejected_rows", "predictions")
    return {name: [row for (row,) in query(database, f"SELECT t::text FROM {name} AS t ORDER BY 1")] for name in names}


def add_articles(connection, rows: Iterable[tuple[str, str, str]], *, source: str = "s") -> list[int]:
    """Insert articles of (external id, text, split) without an ingest; return their ids."""
    statement = text(
        "INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split) "
        "VALUES (:source, :id, :text, :hash, :fingerprint, :split) RETURNING id"
    )
    return [
        connection.execute(
            statement,
            {
                "source": source,
                "id": identity,
                "text": content,
                "hash": hashlib.sha256(content.encode()).digest(),
                "fingerprint": hashlib.sha256(" ".join(content.casefold().split()).encode()).digest(),
                "split": split,
            },
        ).scalar_one()
        for identity, content, split in rows
    ]


def annotate(connection, article_id: int, category: str, annotator: str = "ann") -> None:
    task_id = task_rows.current_id(connection)
    task_rows.add_categories(connection, task_id, [category])
    connection.execute(
        text(
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT id, :task_id, revision, ARRAY[:category], :annotator FROM articles WHERE id = :id"
        ),
        {"id": article_id, "task_id": task_id, "category": category, "annotator": annotator},
    )


def enqueue(connection, ids: Iterable[int], priority: int = 0) -> None:
    connection.execute(
        text(
            "INSERT INTO labelling_queue (article_id, task_id, priority) VALUES (:id, "
            "(SELECT id FROM tasks), :priority)"
        ),
        [{"id": id_, "priority": priority} for id_ in ids],
    )


def add_model(
    connection, name: str, *, macro_f1: float | None = None, data: str = "d", directory: str = "/none"
) -> int:
    """Register a model without training it; with `macro_f1`, add an evaluation."""
    model_id = model_rows.register(
        connection, name=name, artefact=directory, manifest_sha256="0", categories=("a", "b"), training={}
    )
    if macro_f1 is not None:
        values = {"data_sha256": data, "articles": 9, "accuracy": macro_f1, "macro_f1": macro_f1, "metrics": {}}
        evaluations.add(connection, model_id, "test", values)
    return model_id


def make_champion(workspace, name: str, seed: int) -> Model:
    """Make a very small model with random weights the champion."""
    files = make_artefact(workspace.models / name, seed=seed)
    with workspace.database.begin() as connection:
        model = registry.register(connection, name, files, {})
        model_rows.make_champion(connection, model.id)
    return model
