"""Models by name: register a candidate, find one, decide whether it becomes the champion."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from classifier.articles import Model
from classifier.exceptions import ModelNotFoundError, NoChampionError, NotEvaluatedError
from classifier.model import artefact
from classifier.model.artefact import Artefact
from classifier.store import reads, writes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a candidate was promoted, and why."""

    model: str
    promoted: bool
    reason: str
    previous: str | None


def new_name() -> str:
    """Return a name that sorts by time and that nobody else has."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def register(connection: Connection, name: str, files: Artefact, training: Mapping[str, Any]) -> Model:
    """Register a finished artefact as a candidate."""
    model_id = writes.register_model(
        connection,
        name=name,
        artefact=str(files.directory),
        manifest_sha256=files.manifest_sha256,
        categories=files.categories,
        training=training,
    )
    return Model(model_id, name, "candidate", str(files.directory), files.manifest_sha256, files.categories)


def find(connection: Connection, name: str | None) -> Model:
    """Return the model of a name: "champion", or None for the newest.

    Raises:
        ModelNotFoundError: there is none of that name, or none at all.
        NoChampionError: nothing has been promoted yet.
    """
    if name == "champion":
        return champion(connection)
    model = reads.newest_model(connection) if name is None else reads.model(connection, name)
    if model is None:
        wanted = f"{name}: no such model; see: classifier models" if name else "no model yet; run: classifier train"
        raise ModelNotFoundError(wanted)
    return model


def champion(connection: Connection) -> Model:
    """Return the champion.

    Raises:
        NoChampionError: nothing has been promoted yet.
    """
    model = reads.champion(connection)
    if model is None:
        raise NoChampionError("no model has been promoted yet; run: classifier train, evaluate, promote")
    return model


def open_artefact(model: Model) -> Artefact:
    """Open a model's files and check that they are the ones that were registered."""
    return artefact.read(Path(model.artefact), manifest_sha256=model.manifest_sha256)


def promote(connection: Connection, model: Model, *, decided_by: str) -> Decision:
    """Make the model champion if its macro-F1 is at least the present champion's; record either way.

    Both are compared on the same test articles: the champion needs an evaluation on the very data that
    the candidate was measured on.

    Raises:
        NotEvaluatedError: one of the two has not been evaluated on that data.
    """
    writes.lock_champion(connection)
    previous = reads.champion(connection)
    if previous is not None and previous.id == model.id:
        return Decision(model.name, promoted=False, reason="it is the champion already", previous=previous.name)
    promoted, reason = _compare(connection, model, previous)
    if promoted:
        writes.make_champion(connection, model.id)
    else:
        writes.set_status(connection, model.id, "rejected")
    writes.record_promotion(
        connection,
        model.id,
        previous_id=previous.id if previous else None,
        verdict="promoted" if promoted else "held",
        reason=reason,
        decided_by=decided_by,
    )
    log.info("%s %s: %s", model.name, "promoted" if promoted else "held", reason)
    return Decision(model.name, promoted, reason, previous.name if previous else None)


def _compare(connection: Connection, model: Model, previous: Model | None) -> tuple[bool, str]:
    mine = reads.newest_evaluation(connection, model.id)
    if mine is None:
        raise NotEvaluatedError(f"{model.name}: not evaluated yet; run: classifier evaluate --model {model.name}")
    if previous is None:
        return True, f"first champion, macro-F1 {mine.macro_f1:.4f}"
    theirs = reads.newest_evaluation(connection, previous.id)
    if theirs is None or theirs.data_sha256 != mine.data_sha256:
        raise NotEvaluatedError(
            f"champion {previous.name}: not evaluated on the same test articles as {model.name}; "
            "run: classifier evaluate --model champion"
        )
    better = mine.macro_f1 >= theirs.macro_f1
    relation = "not below" if better else "below"
    return better, f"macro-F1 {mine.macro_f1:.4f} is {relation} the champion's {theirs.macro_f1:.4f}"
