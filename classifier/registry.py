"""Models by name: register a candidate, find one, decide whether it becomes the champion."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection

from classifier.articles import Model
from classifier.exceptions import ModelNotFoundError, NoChampionError, RollbackError
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.model import artefact
from classifier.model.artefact import Artefact
from classifier.store import model_rows, promotions

log = logging.getLogger(__name__)

Verdict = Literal["promoted", "held", "undecided"]
ALREADY_CHAMPION = "it is the champion already"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision about a model and its reason; `previous` was the champion until then."""

    model: str
    promoted: bool
    reason: str
    previous: str | None
    verdict: str
    statistics: dict[str, Any] = field(default_factory=dict)


def new_name() -> str:
    """Return a unique name that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def register(connection: Connection, name: str, files: Artefact, training: Mapping[str, Any]) -> Model:
    """Register an artefact as a candidate, with the temperature and the threshold of its manifest."""
    chosen = files.calibration.get("threshold", {})
    thresholds = files.calibration.get("thresholds", {}).get("values")
    model_id = model_rows.register(
        connection,
        name=name,
        artefact=str(files.directory),
        manifest_sha256=files.manifest_sha256,
        categories=files.categories,
        training=training,
        temperature=files.temperature,
        threshold=chosen.get("value"),
        backs_off=chosen.get("parents") is not None,
        thresholds=thresholds,
        calibration=files.calibration or None,
    )
    model = model_rows.by_id(connection, model_id)
    assert model is not None
    return model


def find(connection: Connection, name: str | None) -> Model:
    """Return the model of a name; "champion" is the champion, and None the newest model.

    Raises:
        ModelNotFoundError: no model has that name, or there is no model.
        NoChampionError: nothing has been promoted yet.
    """
    if name == "champion":
        return champion(connection)
    model = model_rows.newest(connection) if name is None else model_rows.by_name(connection, name)
    if model is None and name and (task := model_rows.task_of(connection, name)):
        raise ModelNotFoundError(f"{name}: is a model of the task {task}; add: --task {task}")
    if model is None:
        raise ModelNotFoundError(
            f"{name}: no such model; see: classifier models" if name else "no model yet; run: classifier train"
        )
    return model


def champion(connection: Connection) -> Model:
    """Return the champion.

    Raises:
        NoChampionError: nothing has been promoted yet.
    """
    model = model_rows.champion(connection)
    if model is None:
        raise NoChampionError("no model has been promoted yet; run: classifier train, evaluate, promote")
    return model


def open_artefact(model: Model) -> Artefact:
    """Open a model's files and verify that they are the registered ones.

    Raises:
        ModelNotFoundError: the model was pruned.
        ArtefactError: its files are not the registered ones.
    """
    refuse_pruned(model)
    return artefact.read_artefact(Path(model.artefact), manifest_sha256=model.manifest_sha256)


def open_classifier(model: Model) -> FineTunedClassifier:
    """Verify a model's files, as `open_artefact` does, and read them into memory.

    Raises:
        ModelNotFoundError: the model was pruned.
        ArtefactError: its files are not the registered ones.
        EncoderError: its weights do not fit its `config.json`.
    """
    return FineTunedClassifier(open_artefact(model).load())


def refuse_pruned(model: Model) -> None:
    """Raise an error if the model was pruned.

    Raises:
        ModelNotFoundError: the model was pruned.
    """
    if model.status == "pruned":
        raise ModelNotFoundError(f"{model.name}: was pruned, its files and labels are gone; see: classifier models")


def decide(
    connection: Connection,
    model: Model,
    verdict: Verdict,
    reason: str,
    *,
    decided_by: str,
    statistics: Mapping[str, Any],
) -> Decision:
    """Promote the model, reject it or leave it a candidate, by the verdict, and record the decision.

    The caller must hold the champion lock.

    Raises:
        ModelNotFoundError: the model has been pruned.
    """
    previous = model_rows.champion(connection)
    present = find(connection, model.name)  # read under the lock
    if previous is not None and previous.id == model.id:
        return Decision(model.name, promoted=False, reason=ALREADY_CHAMPION, previous=previous.name, verdict="promoted")
    refuse_pruned(present)
    if verdict == "promoted":
        model_rows.make_champion(connection, model.id)
    elif verdict == "held" and present.status == "candidate":
        model_rows.set_status(connection, model.id, "rejected")
    _record(connection, model, previous, verdict, reason, decided_by, statistics)
    return Decision(
        model.name, verdict == "promoted", reason, previous.name if previous else None, verdict, dict(statistics)
    )


def roll_back(connection: Connection, name: str | None, reason: str, *, decided_by: str) -> Decision:
    """Make a former champion the champion again; by default, the last one that is not pruned.

    Raises:
        NoChampionError: nothing has been promoted yet.
        ModelNotFoundError: there is no such model.
        RollbackError: there is no former champion, or the named model was never champion, is the champion, or was
            pruned.
    """
    model_rows.lock_champion(connection)
    present = champion(connection)
    target = find(connection, name) if name else _previous_champion(connection, present)
    if target.id == present.id:
        raise RollbackError(f"{target.name}: it is the champion already")
    if target.status == "pruned":
        raise RollbackError(f"{target.name}: was pruned, its files and labels are gone; name another former champion")
    if target.status != "retired":
        raise RollbackError(f"{target.name}: never was champion; run: classifier promote {target.name}")
    open_artefact(target)
    model_rows.make_champion(connection, target.id)
    _record(connection, target, present, "rolled back", reason, decided_by, None)
    return Decision(target.name, True, reason, present.name, "rolled back")


def _previous_champion(connection: Connection, present: Model) -> Model:
    target = promotions.rollback_target(connection, present.id)
    if target is None:
        raise RollbackError(f"no champion before {present.name}; name a former champion, see: classifier promotions")
    return target


def _record(
    connection: Connection,
    model: Model,
    previous: Model | None,
    verdict: str,
    reason: str,
    decided_by: str,
    statistics: Mapping[str, Any] | None,
) -> None:
    promotions.record(
        connection,
        model.id,
        previous_id=previous.id if previous else None,
        verdict=verdict,
        reason=reason,
        decided_by=decided_by,
        statistics=statistics,
    )
    log.info("%s %s: %s", model.name, verdict, reason)
