"""Decisions on models, and the history of champions. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, null, select

from classifier.articles import Model
from classifier.store import model_rows, tables, task_rows
from classifier.store.queries import query


def of_model(connection: Connection, model_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the decisions on a model, oldest first."""
    promotions = tables.promotions
    statement = select(promotions).where(promotions.c.model_id == model_id).order_by(promotions.c.id)
    return connection.execute(statement).all()


def record(
    connection: Connection,
    model_id: int,
    *,
    previous_id: int | None,
    verdict: str,
    reason: str,
    decided_by: str,
    statistics: Mapping[str, Any] | None = None,
) -> None:
    """Insert a decision on a model; `statistics` are the gate's results, or None if the gate was not run."""
    values = {
        "model_id": model_id,
        "previous_id": previous_id,
        "verdict": verdict,
        "reason": reason,
        "decided_by": decided_by,
        "statistics": null() if statistics is None else dict(statistics),
    }
    connection.execute(insert(tables.promotions).values(values))


def history(connection: Connection, *, limit: int | None = None) -> Sequence[Row[*tuple[Any, ...]]]:
    """Return the task's decisions, newest first, with the names of the models."""
    promotions, models = tables.promotions, tables.models
    previous = models.alias("previous")
    statement: Select[*tuple[Any, ...]] = (
        select(promotions, models.c.name.label("model"), previous.c.name.label("previous"))
        .join(models, models.c.id == promotions.c.model_id)
        .outerjoin(previous, previous.c.id == promotions.c.previous_id)
        .where(models.c.task_id == task_rows.current_id(connection))
        .order_by(promotions.c.id.desc())
        .limit(limit)
    )
    return connection.execute(statement).all()


def rollback_target(connection: Connection, champion_id: int) -> Model | None:
    """Return the model that a rollback restores: the last former champion in the history that is not pruned.

    The history works like a browser's: a promotion adds a model after the present position, a rollback moves the
    position. So each rollback goes further back, even if a model was promoted twice.
    """
    changes = connection.execute(query("champion_changes"), {"task_id": task_rows.current_id(connection)}).all()
    status = {row.model_id: row.status for row in changes}
    line, position = champions([(row.model_id, row.verdict) for row in changes])
    earlier = reversed(line[: position + 1])
    target = next((model_id for model_id in earlier if model_id != champion_id and status[model_id] == "retired"), None)
    return None if target is None else model_rows.by_id(connection, target)


def champions(changes: Iterable[tuple[int, str]]) -> tuple[list[int], int]:
    """Return the history of champions, oldest first, and the present position in it; -1 if there is none.

    `changes` are pairs of model id and verdict, oldest first.
    """
    line: list[int] = []
    position = -1
    for model_id, verdict in changes:
        if verdict == "rolled back":
            candidates = [*range(position - 1, -1, -1), *range(position + 1, len(line))]  # back first, then forward
            target = next((index for index in candidates if line[index] == model_id), None)
            if target is not None:
                position = target
                continue
        line[position + 1 :] = [model_id]
        position += 1
    return line, position


def last_champions(connection: Connection, number: int) -> list[int]:
    """Return the ids of the task's last champions, newest first, starting with the present one."""
    promotions, models = tables.promotions, tables.models
    last = func.max(promotions.c.id)
    statement = (
        select(promotions.c.model_id)
        .join(models, models.c.id == promotions.c.model_id)
        .where(models.c.task_id == task_rows.current_id(connection))
        .where(promotions.c.verdict.in_(["promoted", "rolled back"]))
        .group_by(promotions.c.model_id)
        .order_by(last.desc())
        .limit(number)
    )
    return list(connection.scalars(statement))


def prunable(connection: Connection, *, keep: int, keep_champions: int = 0) -> list[Model]:
    """Return the task's retired and rejected models except the newest `keep`, and models whose pruning was interrupted.

    These are never returned: the champion, the `keep_champions` champions before it, the target of a rollback, the
    model replaced last, the last trained model (the next training compares its data with the snapshot), and candidates
    without a decision. A candidate on which the gate was undecided counts as rejected once there is a newer model.
    """
    task_id, champion = task_rows.current_id(connection), model_rows.champion(connection)
    last_trained = model_rows.last_trained(connection)
    target = rollback_target(connection, champion.id) if champion else None
    kept = {
        *last_champions(connection, keep_champions + 1),
        last_trained.id if last_trained else None,
        connection.execute(query("last_replaced_champion"), {"task_id": task_id}).scalar_one_or_none(),
        target.id if target else None,
    }
    models = tables.models
    of_task = models.c.task_id == task_id
    interrupted = select(models.c.id).where(of_task, models.c.status == "pruned", models.c.pruned_at.is_(None))
    undecided = select(tables.promotions.c.model_id).where(tables.promotions.c.verdict == "undecided")
    newest = select(func.max(models.c.id)).where(of_task).scalar_subquery()
    superseded = (models.c.status == "candidate") & models.c.id.in_(undecided) & (models.c.id < newest)
    old = (
        select(models.c.id)
        .where(of_task, models.c.status.in_(["retired", "rejected"]) | superseded)
        .where(models.c.id.not_in([model_id for model_id in kept if model_id]))
        .order_by(models.c.id.desc())
        .offset(keep)
    )
    ids = sorted([*connection.scalars(interrupted), *connection.scalars(old)])
    return [model for model_id in ids if (model := model_rows.by_id(connection, model_id))]
