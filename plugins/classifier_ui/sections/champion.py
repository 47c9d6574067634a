"""The champion, its figures, and the decision that promoted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifier.exceptions import NoChampionError
from classifier.pipeline.monitoring import category_coverage
from classifier.pipeline.promotion import model_details
from classifier.pipeline.promotion.model_details import ModelDecision, ModelDetails
from classifier.workspace import Workspace
from classifier_ui import permissions
from classifier_ui.sections.section import Section


@dataclass(frozen=True, slots=True)
class ModelHeadline:
    """A model; `figures` are from its last evaluation, `since` is the decision that made it champion."""

    name: str
    categories: int
    trained_on: int | None
    figures: Mapping[str, Any] | None
    since: ModelDecision | None


@dataclass(frozen=True, slots=True)
class ChampionView:
    """The champion, None if there is none yet, and warnings about categories that models do not know."""

    model: ModelHeadline | None
    warnings: tuple[str, ...]


def read(workspace: Workspace) -> ChampionView:
    """Return the champion, and warnings about annotated categories that it or the next model does not know."""
    try:
        model = headline_of(model_details.describe_model(workspace, "champion"))
    except NoChampionError:
        model = None
    uncovered = category_coverage.find_uncovered(workspace)
    return ChampionView(model, tuple(category_coverage.describe(uncovered, model.name if model else None)))


def headline_of(model: ModelDetails) -> ModelHeadline:
    """Return what a page shows first of a model."""
    promotions = [decision for decision in model.decisions if decision.verdict in {"promoted", "rolled back"}]
    return ModelHeadline(
        model.name,
        len(model.categories),
        model.training.get("data", {}).get("articles"),
        model.evaluation if model.evaluation and "report" in model.evaluation else None,
        promotions[-1] if promotions else None,
    )


SECTION = Section("champion", "Champion", read, permissions.RETRAIN, fresh_s=10)
