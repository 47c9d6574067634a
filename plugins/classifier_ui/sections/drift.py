"""Whether the champion is still among articles such as it was evaluated on, and as right as it says."""

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
class Watching:
    """What was found over time, and what the champion's confidence is; `limit` is the drift that is borne."""

    champion: str
    temperature: float
    threshold: float | None
    chosen: Mapping[str, Any]
    found: DriftHistory
    limit: float


def read(workspace: Workspace) -> Watching | None:
    """Return it, None while there is no champion."""
    try:
        champion, found = model_details.describe_model(workspace, "champion"), drift_history.read_history(workspace)
    except NoChampionError:
        return None
    chosen = (champion.confidence or {}).get("threshold", {})
    limit = workspace.settings.drift_max_distance
    return Watching(champion.name, champion.temperature, champion.threshold, chosen, found, limit)


SECTION = Section("watching", "Watching", read, permissions.WATCH, fresh_s=30)
