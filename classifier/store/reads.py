"""Functions that read the database. They take a connection and change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, literal, select

from classifier.articles import AnnotatedArticle, Model, Split
from classifier.store import tables
from classifier.store.queries import query

_KEPT_FROM: Mapping[Split, list[Split]] = {"train": ["validation", "test"], "validation": ["test"], "test": []}
"""The splits whose texts must not stand in this one."""

_ROWS_AT_ONCE = 64  # texts that the driver holds
_IDS_AT_ONCE = 10_000


def annotated_articles(connection: Connection, split: Split) -> list[AnnotatedArticle]:
    """Return a split's annotated articles by id, less those whose text a more guarded split holds."""
    return list(stream_annotated_articles(connection, split))


def stream_annotated_articles(connection: Connection, split: Split) -> Iterator[AnnotatedArticle]:
    """Yield the same articles, of which a few are in memory at a time."""
    # a cursor is planned for its first rows alone otherwise
    connection.execute(select(func.set_config("cursor_tuple_fraction", "1.0", True)))
    values = {"split": split, "kept_from": _KEPT_FROM[split]}
    rows = connection.execute(query("annotated_articles"), values, execution_options={"yield_per": _ROWS_AT_ONCE})
    return (AnnotatedArticle(row.id, row.text, bytes(row.text_hash), row.category) for row in rows)


def clusters_of_articles(connection: Connection, ids: Sequence[int]) -> Iterator[tuple[int, bytes, int | None]]:
    """Yield each article's id and fingerprint with each cluster of near-duplicates that its text belongs to, if any."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        rows = connection.execute(query("clusters_of_articles"), {"ids": list(ids[start : start + _IDS_AT_ONCE])})
        yield from ((row.id, bytes(row.fingerprint), row.cluster_id) for row in rows)


def champion(connection: Connection) -> Model | None:
    """Return the model whose predictions `article_labels` shows."""
    row = connection.execute(select(tables.models).where(tables.models.c.status == "champion")).one_or_none()
    return _model(row)


def model(connection: Connection, name: str) -> Model | None:
    """Return the model of a name."""
    return _model(connection.execute(select(tables.models).where(tables.models.c.name == name)).one_or_none())


def model_of_id(connection: Connection, model_id: int) -> Model | None:
    """Return the model of an id."""
    return _model(connection.execute(select(tables.models).where(tables.models.c.id == model_id)).one_or_none())


def newest_model(connection: Connection) -> Model | None:
    """Return the model that was registered last, pruned ones left out."""
    models = tables.models
    statement = select(models).where(models.c.status != "pruned").order_by(models.c.id.desc()).limit(1)
    return _model(connection.execute(statement).one_or_none())


def last_trained_model(connection: Connection) -> Model | None:
    """Return the newest model that was trained here, not imported, and has been promoted or rejected.

    Pruned models are left out: their snapshots are gone, and some were never decided on. `prunable` keeps this one.
    """
    models = tables.models
    statement = (
        select(models)
        .where(models.c.status.not_in(["candidate", "pruned"]), models.c.training.has_key("data"))
        .order_by(models.c.id.desc())
        .limit(1)
    )
    return _model(connection.execute(statement).one_or_none())


def training(connection: Connection, model_id: int) -> dict[str, Any]:
    """Return the configuration, data, versions and history of a model's training."""
    return dict(connection.execute(select(tables.models.c.training).where(tables.models.c.id == model_id)).scalar_one())


def confidence(connection: Connection, model_id: int) -> dict[str, Any] | None:
    """Return what a model's temperature and threshold were chosen on; None where nothing was chosen."""
    found: dict[str, Any] | None = connection.execute(
        select(tables.models.c.confidence).where(tables.models.c.id == model_id)
    ).scalar_one()
    return found


def decisions(connection: Connection, model_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return what was decided about a model, oldest first."""
    promotions = tables.promotions
    statement = select(promotions).where(promotions.c.model_id == model_id).order_by(promotions.c.id)
    return connection.execute(statement).all()


def is_champion(connection: Connection, model_id: int) -> bool:
    """Say whether the model is the champion at this very moment."""
    models = tables.models
    statement = select(literal(1)).where(models.c.id == model_id, models.c.status == "champion")
    return connection.execute(statement).first() is not None


def backfilled_to(connection: Connection, model_id: int) -> int | None:
    """Return the last article id that was looked at for the champion's backlog; None once all were."""
    found: int | None = connection.execute(
        select(tables.models.c.backfilled_to).where(tables.models.c.id == model_id)
    ).scalar_one()
    return found


def newest_evaluation(connection: Connection, model_id: int, split: Split = "test") -> Row[*tuple[Any, ...]] | None:
    """Return a model's last evaluation on a split."""
    evaluations = tables.evaluations
    statement = (
        select(evaluations)
        .where(evaluations.c.model_id == model_id, evaluations.c.split == split)
        .order_by(evaluations.c.id.desc())
        .limit(1)
    )
    return connection.execute(statement).one_or_none()


def models_with_scores(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return every model, newest first, with its last score on the test split."""
    models, evaluations = tables.models, tables.evaluations
    last = (
        select(evaluations.c.model_id, func.max(evaluations.c.id).label("id"))
        .where(evaluations.c.split == "test")
        .group_by(evaluations.c.model_id)
        .subquery()
    )
    statement: Select[*tuple[Any, ...]] = (
        select(
            models.c.name,
            models.c.status,
            models.c.created_at,
            models.c.promoted_at,
            models.c.temperature,
            models.c.threshold,
            evaluations.c.accuracy,
            evaluations.c.macro_f1,
            evaluations.c.articles,
            models.c.training["engine"].label("engine"),
        )
        .outerjoin(last, last.c.model_id == models.c.id)
        .outerjoin(evaluations, evaluations.c.id == last.c.id)
        .order_by(models.c.id.desc())
    )
    return connection.execute(statement).all()


def share_to_count(connection: Connection, rows: int, *, table: str = "articles") -> float:
    """Return the share of a table that holds about so many of its rows; 1 where it holds fewer.

    It goes by Postgres' own estimate, which it makes when it vacuums or analyses the table.
    """
    estimate: float = connection.execute(query("estimated_rows"), {"table": table}).scalar_one()
    return min(1.0, rows / max(estimate, 1))


def articles_by_label(connection: Connection, *, share: float = 1.0) -> dict[tuple[str, str], int]:
    """Count articles by split and by where their label comes from: annotation, prediction or none.

    With a share below 1 only that share of the table's blocks is counted, and the counts are scaled up.
    """
    rows = connection.execute(query("count_articles"), {"percent": 100 * share})
    return {(row.split, row.origin): round(row.articles / share) for row in rows}


def labels_by_day(connection: Connection, since: datetime, *, share: float = 1.0) -> dict[date, int]:
    """Count the predictions that were written since a moment, by day (UTC); a share below 1 as above."""
    rows = connection.execute(query("labels_by_day"), {"since": since, "percent": 100 * share})
    return {row.day: round(row.labels / share) for row in rows}


def labels_by_category(connection: Connection, *, share: float = 1.0) -> dict[str | None, tuple[int, int]]:
    """Count articles by label: all, and those of them that a human annotated. None has those without a label."""
    rows = connection.execute(query("labels_by_category"), {"percent": 100 * share})
    return {row.category: (round(row.articles / share), round(row.annotated / share)) for row in rows}


def sizes_by_category(connection: Connection) -> dict[tuple[str | None, Split], int]:
    """Return how many articles each split has of each category; None stands for no annotation."""
    return {(category, split): count for category, split, count in connection.execute(query("sizes_by_category"))}


def source_state(connection: Connection, source: str, unit: str) -> Row[*tuple[Any, ...]] | None:
    """Return what has been read of a source's unit."""
    state = tables.source_state
    return connection.execute(select(state).where(state.c.source == source, state.c.unit == unit)).one_or_none()


def last_runs(connection: Connection, *, source: str | None = None, limit: int = 10) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the last ingests, newest first."""
    runs = tables.ingest_runs
    statement = select(runs).order_by(runs.c.id.desc()).limit(limit)
    return connection.execute(statement if source is None else statement.where(runs.c.source == source)).all()


def last_success(connection: Connection, source: str) -> datetime | None:
    """Return when a source's last run that succeeded began."""
    runs = tables.ingest_runs
    statement = select(func.max(runs.c.started_at)).where(runs.c.source == source, runs.c.status == "succeeded")
    found: datetime | None = connection.execute(statement).scalar_one()
    return found


def rejected(
    connection: Connection, *, source: str | None = None, limit: int | None = None
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the rejected rows, newest first, with the run that rejected them (`declared`, `kind`, `options`)."""
    rows, runs = tables.rejected_rows, tables.ingest_runs
    statement: Select[*tuple[Any, ...]] = (
        select(rows, runs.c.source.label("declared"), runs.c.kind, runs.c.options)
        .outerjoin(runs, runs.c.id == rows.c.run_id)
        .order_by(rows.c.id.desc())
        .limit(limit)
    )
    if source is not None:
        statement = statement.where((rows.c.source == source) | (runs.c.source == source))
    return connection.execute(statement).all()


def rejected_rows(connection: Connection) -> int:
    """Return how many rows of sources were not taken in."""
    return _count(connection, tables.rejected_rows)


def dead_letters(
    connection: Connection, *, source: str | None = None, model: str | None = None, limit: int | None = None
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the dead letters of articles' present texts, newest first."""
    letters, articles, models = tables.dead_letters, tables.articles, tables.models
    statement: Select[*tuple[Any, ...]] = (
        _present(
            select(
                letters.c.article_id,
                articles.c.source,
                articles.c.external_id,
                models.c.name.label("model"),
                letters.c.reason,
                letters.c.failed_at,
            )
        )
        .join(models, models.c.id == letters.c.model_id)
        .order_by(letters.c.failed_at.desc(), letters.c.article_id)
        .limit(limit)
    )
    if source is not None:
        statement = statement.where(articles.c.source == source)
    if model is not None:
        statement = statement.where(models.c.name == model)
    return connection.execute(statement).all()


def dead_letter_count(connection: Connection) -> int:
    """Return how many articles could not be labelled as they are now."""
    counted = _present(select(func.count(tables.dead_letters.c.article_id.distinct())))
    return int(connection.execute(counted).scalar_one())


def _present(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Leave out the dead letters of texts that have changed since."""
    letters, articles = tables.dead_letters, tables.articles
    same = (articles.c.id == letters.c.article_id) & (articles.c.revision == letters.c.revision)
    return statement.select_from(letters).join(articles, same)


def _count(connection: Connection, table: Any) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _model(row: Row[*tuple[Any, ...]] | None) -> Model | None:
    if row is None:
        return None
    return Model(
        row.id,
        row.name,
        row.status,
        row.artefact,
        row.manifest_sha256,
        tuple(row.categories),
        row.temperature,
        row.threshold,
    )
