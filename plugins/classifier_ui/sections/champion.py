"""Who is champion, how good it is, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifier.exceptions import NoChampionError
from classifier.pipeline.promotion import model_details
from classifier.pipeline.promotion.model_details import ModelDecision
from classifier.workspace import Workspace
from classifier_ui import permissions
from classifier_ui.sections.section import Section


@dataclass(frozen=True, slots=True)
class Champion:
    """The champion; `figures` are of its last evaluation, `since` is the decision that made it champion."""

    name: str
    categories: int
    trained_on: int | None
    figures: Mapping[str, Any] | None
    since: ModelDecision | None


def read(workspace: Workspace) -> Champion | None:
    """Return the champion, None while there is none."""
    try:
        found = model_details.describe_model(workspace, "champion")
    except NoChampionError:
        return None
    return of(found)


def of(found: model_details.ModelDetails) -> Champion:
    """Return what is shown first of a model."""
    crowned = [one for one in found.decisions if one.verdict in {"promoted", "rolled back"}]
    return Champion(
        found.name,
        len(found.categories),
        found.training.get("data", {}).get("articles"),
        found.evaluation if found.evaluation and "report" in found.evaluation else None,
        crowned[-1] if crowned else None,
    )


SECTION = Section("champion", "Champion", read, permissions.RETRAIN, fresh_s=10)
