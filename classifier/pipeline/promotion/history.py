"""The history of decisions on models: promotions, rejections and rollbacks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from classifier.pipeline.use_case import use_case
from classifier.store import promotions
from classifier.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A decision: promoted, held, undecided or rolled back; `previous` was the champion until then."""

    model: str
    verdict: str
    previous: str | None
    reason: str
    decided_by: str
    decided_at: datetime
    statistics: dict[str, Any] | None


@use_case
def read_history(workspace: Workspace, *, limit: int | None = None) -> list[PastDecision]:
    """Return the decisions, newest first."""
    with workspace.database.connect() as connection:
        return [
            PastDecision(
                row.model, row.verdict, row.previous, row.reason, row.decided_by, row.decided_at, row.statistics
            )
            for row in promotions.history(connection, limit=limit)
        ]
