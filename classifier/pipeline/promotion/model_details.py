"""The details of a model: its training, its evaluation and its decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from classifier import registry
from classifier.evaluation import results
from classifier.pipeline.use_case import use_case
from classifier.store import evaluations, model_rows, promotions
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ModelDecision:
    """A decision about a model."""

    verdict: str
    reason: str
    decided_by: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """A model with its stored training, its last evaluation on the test split, and its decisions.

    `confidence` says how its temperature and threshold were chosen; a model without a threshold never abstains.
    `evaluation` has the model's figures, under `baseline` the baseline's, and under `confidence` how reliable the
    model's confidence is.
    """

    name: str
    status: str
    artefact: str
    manifest_sha256: str
    categories: tuple[str, ...]
    temperature: float
    threshold: float | None
    confidence: Mapping[str, Any] | None
    training: Mapping[str, Any]
    evaluation: Mapping[str, Any] | None
    decisions: tuple[ModelDecision, ...]


@use_case
def describe_model(workspace: Workspace, name: str | None = None) -> ModelDetails:
    """Return the details of a model: the newest by default, or "champion".

    Raises:
        ModelNotFoundError: there is no such model.
        NoChampionError: no model has been promoted yet.
    """
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
        evaluation = evaluations.newest(connection, model.id)
        decisions = promotions.of_model(connection, model.id)
        return ModelDetails(
            model.name,
            model.status,
            model.artefact,
            model.manifest_sha256,
            tuple(dict.fromkeys(model.present_categories)),
            model.temperature,
            model.threshold,
            model_rows.calibration(connection, model.id),
            model_rows.training(connection, model.id),
            _figures(evaluation) if evaluation else None,
            tuple(ModelDecision(row.verdict, row.reason, row.decided_by, row.decided_at) for row in decisions),
        )


def _figures(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    confidence = results.confidence_figures(row.metrics.get("report", {}))
    return {"evaluated_at": row.evaluated_at, "data_sha256": row.data_sha256, **row.metrics, "confidence": confidence}
