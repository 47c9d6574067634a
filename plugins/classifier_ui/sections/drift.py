"""Whether the newest articles resemble those that the champion was evaluated on, and its confidence is accurate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifier.exceptions import NoChampionError
from classifier.pipeline.monitoring import drift_history
from classifier.pipeline.monitoring.drift_history import DriftHistory
from classifier.pipeline.promotion import model_details
from classifier.workspace import Workspace
from classifier_ui import permissions
from classifier_ui.sections.section import Section


@dataclass(frozen=True, slots=True)
class DriftView:
    """The drift checks over time, and the champion's confidence; `limit` is the largest drift without an alarm.

    `chosen_threshold` says how the threshold was chosen; it is empty for a model that never abstains.
    """

    champion: str
    temperature: float
    threshold: float | None
    chosen_threshold: Mapping[str, Any]
    history: DriftHistory
    limit: float


def read(workspace: Workspace) -> DriftView | None:
    """Return the champion's drift checks; None if there is no champion yet."""
    try:
        champion, history = model_details.describe_model(workspace, "champion"), drift_history.read_history(workspace)
    except NoChampionError:
        return None
    chosen = (champion.confidence or {}).get("threshold", {})
    limit = workspace.settings.drift_max_distance
    return DriftView(champion.name, champion.temperature, champion.threshold, chosen, history, limit)


SECTION = Section("drift", "Drift", read, permissions.DRIFT, fresh_s=30)
