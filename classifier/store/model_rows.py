"""The rows of models: what a model is, its status and its calibration. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, cast, func, insert, literal, null, select, update
from sqlalchemy.dialects.postgresql import JSONB

from classifier import advisory_locks
from classifier.articles import Model
from classifier.store import tables, task_rows

MODELS_OPTION = "models_directory"
"""The execution option of a workspace's connections that is the directory of the models' artefacts.

Rows have the names of artefacts below this directory, so that a moved directory or a copy of it needs no new rows.
"""


def champion(connection: Connection, task_id: int | None = None) -> Model | None:
    """Return the model whose predictions `article_labels` shows, or None if there is no champion.

    It is the champion of the connection's task, unless another task is named.
    """
    models = tables.models.c
    task_id = task_rows.current_id(connection) if task_id is None else task_id
    return _one(connection, (models.status == "champion") & (models.task_id == task_id))


def by_name(connection: Connection, name: str) -> Model | None:
    """Return the task's model of a name, or None if there is no such model."""
    models = tables.models.c
    return _one(connection, (models.name == name) & (models.task_id == task_rows.current_id(connection)))


def task_of(connection: Connection, name: str) -> str | None:
    """Return the name of the task of a model, or None if there is no such model."""
    models, tasks = tables.models, tables.tasks
    statement = select(tasks.c.name).join(models, models.c.task_id == tasks.c.id).where(models.c.name == name)
    task: str | None = connection.scalar(statement)
    return task


def by_id(connection: Connection, model_id: int) -> Model | None:
    """Return the model of an id, or None if there is no such model."""
    return _one(connection, tables.models.c.id == model_id)


def newest(connection: Connection) -> Model | None:
    """Return the task's model that was registered last, ignoring pruned models."""
    models = tables.models
    of_task = models.c.task_id == task_rows.current_id(connection)
    statement = _select().where(of_task, models.c.status != "pruned").order_by(models.c.id.desc()).limit(1)
    return _model(connection, connection.execute(statement).one_or_none())


def last_trained(connection: Connection) -> Model | None:
    """Return the task's newest model that was trained here, not imported, and has been promoted or rejected.

    Pruned models are ignored: their data snapshots are deleted. `promotions.prunable` keeps this model.
    """
    models = tables.models
    statement = (
        _select()
        .where(models.c.task_id == task_rows.current_id(connection))
        .where(models.c.status.not_in(["candidate", "pruned"]), models.c.training.has_key("data"))
        .order_by(models.c.id.desc())
        .limit(1)
    )
    return _model(connection, connection.execute(statement).one_or_none())


def list_with_scores(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return every model of the task, newest first, with its last scores on the test split."""
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
            literal(task_rows.current(connection).kind).label("kind"),
        )
        .outerjoin(last, last.c.model_id == models.c.id)
        .outerjoin(evaluations, evaluations.c.id == last.c.id)
        .where(models.c.task_id == task_rows.current_id(connection))
        .order_by(models.c.id.desc())
    )
    return connection.execute(statement).all()


def training(connection: Connection, model_id: int) -> dict[str, Any]:
    """Return the configuration, data, versions and history of a model's training."""
    return dict(connection.execute(select(tables.models.c.training).where(tables.models.c.id == model_id)).scalar_one())


def calibration(connection: Connection, model_id: int) -> dict[str, Any] | None:
    """Return what a model's temperature and threshold were chosen on, or None if neither was chosen."""
    statement = select(tables.models.c.calibration).where(tables.models.c.id == model_id)
    details: dict[str, Any] | None = connection.execute(statement).scalar_one()
    return details


def is_champion(connection: Connection, model_id: int) -> bool:
    """Return whether the model is the champion now."""
    models = tables.models
    statement = select(literal(1)).where(models.c.id == model_id, models.c.status == "champion")
    return connection.execute(statement).first() is not None


def was_champion(connection: Connection, model_id: int) -> bool:
    """Return whether the model was ever champion, and so may have predictions: only champions label."""
    statement = select(tables.models.c.promoted_at).where(tables.models.c.id == model_id)
    return connection.scalar(statement) is not None


def backfilled_to(connection: Connection, model_id: int) -> int | None:
    """Return the last article id that the champion's backfill has examined, or None if it has examined all."""
    statement = select(tables.models.c.backfilled_to).where(tables.models.c.id == model_id)
    article_id: int | None = connection.execute(statement).scalar_one()
    return article_id


def register(
    connection: Connection,
    *,
    name: str,
    artefact: str,
    manifest_sha256: str,
    categories: Sequence[str],
    training: Mapping[str, Any],
    temperature: float = 1.0,
    threshold: float | None = None,
    backs_off: bool = False,
    thresholds: Sequence[float] | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> int:
    """Insert a candidate of the task and return its id; `calibration` tells how its numbers were chosen."""
    values = {
        "task_id": task_rows.current_id(connection),
        "name": name,
        "artefact": _relative_to_models(connection, artefact),
        "manifest_sha256": manifest_sha256,
        "categories": list(categories),
        "training": dict(training),
        "temperature": temperature,
        "threshold": threshold,
        "backs_off": backs_off,
        "thresholds": None if thresholds is None else list(thresholds),
        "calibration": null() if calibration is None else dict(calibration),
    }
    return int(connection.execute(insert(tables.models).values(values).returning(tables.models.c.id)).scalar_one())


def lock_champion(connection: Connection) -> None:
    """Lock the choice of the champion until the transaction ends; readers and labelling workers are not blocked."""
    connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.CHAMPION)))


def make_champion(connection: Connection, model_id: int) -> None:
    """Retire the present champion of the model's task, if any, and make the model champion."""
    models = tables.models
    task_id = select(models.c.task_id).where(models.c.id == model_id).scalar_subquery()
    present = (models.c.status == "champion") & (models.c.task_id == task_id)
    connection.execute(update(models).where(present).values(status="retired"))
    connection.execute(
        update(models).where(models.c.id == model_id).values(status="champion", promoted_at=func.now(), backfilled_to=0)
    )


def set_threshold(
    connection: Connection, model_id: int, threshold: float, chosen_on: Mapping[str, Any], *, backs_off: bool = False
) -> None:
    """Set the confidence below which a model abstains or backs off, and store what the threshold was chosen on."""
    models = tables.models
    # JSONB concatenation keeps what the temperature was chosen on.
    added = cast({"threshold": dict(chosen_on)}, JSONB)
    details = func.coalesce(models.c.calibration, cast({}, JSONB)).concat(added)
    values = {"threshold": threshold, "backs_off": backs_off, "calibration": details}
    connection.execute(update(models).where(models.c.id == model_id).values(values))


def set_thresholds(
    connection: Connection, model_id: int, thresholds: Sequence[float], chosen_on: Mapping[str, Any]
) -> None:
    """Set the probabilities from which a multi-label model gives each category; store how they were chosen."""
    models = tables.models
    added = cast({"thresholds": dict(chosen_on)}, JSONB)
    details = func.coalesce(models.c.calibration, cast({}, JSONB)).concat(added)
    values = {"thresholds": list(thresholds), "calibration": details}
    connection.execute(update(models).where(models.c.id == model_id).values(values))


def set_status(connection: Connection, model_id: int, status: str) -> None:
    """Set a model's status."""
    connection.execute(update(tables.models).where(tables.models.c.id == model_id).values(status=status))


def set_pruned(connection: Connection, model_id: int) -> None:
    """Record that only the row is left of a model: its files and predictions are deleted."""
    models = tables.models
    connection.execute(update(models).where(models.c.id == model_id).values(pruned_at=func.now()))


def _one(connection: Connection, condition: ColumnElement[bool]) -> Model | None:
    return _model(connection, connection.execute(_select().where(condition)).one_or_none())


def _select() -> Select[*tuple[Any, ...]]:
    """Return the columns of models, with those of their tasks that a `Model` has."""
    models, tasks = tables.models, tables.tasks
    names = (tasks.c.former_names, tasks.c.present_names, tasks.c.child_names, tasks.c.parent_names)
    of_task = (tasks.c.kind, tasks.c.min_labels, *names)
    return select(models, *of_task).join(tasks, tasks.c.id == models.c.task_id)


def _relative_to_models(connection: Connection, artefact: str) -> str:
    """Return an artefact's path as the database stores it: below the directory of models, only its name."""
    models: Path | None = connection.get_execution_options().get(MODELS_OPTION)
    path = Path(artefact)
    return path.name if models is not None and path.parent == models else artefact


def artefact_path(connection: Connection, stored: str) -> str:
    """Return the path of a stored artefact. If an absolute path no longer exists, its name below the models counts."""
    models: Path | None = connection.get_execution_options().get(MODELS_OPTION)
    path = Path(stored)
    if models is None or (path.is_absolute() and path.exists()):
        return stored
    return str(models / path.name)


def _model(connection: Connection, row: Row[*tuple[Any, ...]] | None) -> Model | None:
    if row is None:
        return None
    return Model(
        row.id,
        row.name,
        row.status,
        artefact_path(connection, row.artefact),
        row.manifest_sha256,
        tuple(row.categories),
        row.temperature,
        row.threshold,
        row.kind,
        None if row.thresholds is None else tuple(row.thresholds),
        row.min_labels,
        _present_names(row),
        row.backs_off,
        tuple(zip(row.child_names, row.parent_names, strict=True)),
    )


def _present_names(row: Row[*tuple[Any, ...]]) -> tuple[str, ...]:
    """Return the names of today of a model's categories; empty if all are as recorded."""
    present = dict(zip(row.former_names, row.present_names, strict=True))
    return tuple(present.get(name, name) for name in row.categories) if present else ()
