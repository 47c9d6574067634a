"""Who was champion when, and what is kept of former ones. Functions take a connection and never commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, null, select

from classifier.articles import Model
from classifier.store import model_rows, tables
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
    """Return every decision, newest first, with the names of the models."""
    promotions, models = tables.promotions, tables.models
    previous = models.alias("previous")
    statement: Select[*tuple[Any, ...]] = (
        select(promotions, models.c.name.label("model"), previous.c.name.label("previous"))
        .join(models, models.c.id == promotions.c.model_id)
        .outerjoin(previous, previous.c.id == promotions.c.previous_id)
        .order_by(promotions.c.id.desc())
        .limit(limit)
    )
    return connection.execute(statement).all()


def rollback_target(connection: Connection, champion_id: int) -> Model | None:
    """Return the model that a rollback goes back to: the last one before in the history that is not pruned.

    The history is like a browser's: a promotion adds a model behind the present place, a rollback moves the place. So
    each rollback goes further back, also where a model was promoted twice.
    """
    changes = connection.execute(query("champion_changes")).all()
    status = {row.model_id: row.status for row in changes}
    line, place = champions([(row.model_id, row.verdict) for row in changes])
    earlier = (one for one in reversed(line[: place + 1]) if one != champion_id and status[one] == "retired")
    found = next(earlier, None)
    return None if found is None else model_rows.by_id(connection, found)


def champions(changes: Iterable[tuple[int, str]]) -> tuple[list[int], int]:
    """Return the champions, oldest first, and the place in them after all changes (model and verdict); -1 for none."""
    line: list[int] = []
    place = -1
    for model_id, verdict in changes:
        if verdict == "rolled back":
            around = [*range(place - 1, -1, -1), *range(place + 1, len(line))]  # back first, then forward
            to = next((index for index in around if line[index] == model_id), None)
            if to is not None:
                place = to
                continue
        line[place + 1 :] = [model_id]
        place += 1
    return line, place


def last_champions(connection: Connection, number: int) -> list[int]:
    """Return the ids of the models that were champion last, the newest first; the present one is the first."""
    promotions = tables.promotions
    last = func.max(promotions.c.id)
    statement = (
        select(promotions.c.model_id)
        .where(promotions.c.verdict.in_(["promoted", "rolled back"]))
        .group_by(promotions.c.model_id)
        .order_by(last.desc())
        .limit(number)
    )
    return list(connection.scalars(statement))


def prunable(connection: Connection, *, keep: int, keep_champions: int = 0) -> list[Model]:
    """Return former champions and models turned down but for the newest `keep`, and those half pruned.

    Never the champion, the `keep_champions` that were champion before it, the one that a rollback goes back to, the
    one replaced last, the one whose snapshot tells the next training what is new, or a candidate that is not decided
    on. One on which the gate was undecided counts as turned down once there is a newer model: each night may bring
    one.
    """
    champion = model_rows.champion(connection)
    last_trained = model_rows.last_trained(connection)
    target = rollback_target(connection, champion.id) if champion else None
    kept = {
        *last_champions(connection, keep_champions + 1),
        last_trained.id if last_trained else None,
        connection.execute(query("last_replaced_champion")).scalar_one_or_none(),
        target.id if target else None,
    }
    models = tables.models
    left = select(models.c.id).where(models.c.status == "pruned", models.c.pruned_at.is_(None))
    undecided = select(tables.promotions.c.model_id).where(tables.promotions.c.verdict == "undecided")
    newest = select(func.max(models.c.id)).scalar_subquery()
    superseded = (models.c.status == "candidate") & models.c.id.in_(undecided) & (models.c.id < newest)
    old = (
        select(models.c.id)
        .where(models.c.status.in_(["retired", "rejected"]) | superseded)
        .where(models.c.id.not_in([one for one in kept if one]))
        .order_by(models.c.id.desc())
        .offset(keep)
    )
    ids = sorted([*connection.scalars(left), *connection.scalars(old)])
    return [model for one in ids if (model := model_rows.by_id(connection, one))]
