"""Every model with its scores and what was decided about it."""

from __future__ import annotations

from dataclasses import dataclass

from classifier.pipeline.monitoring import status
from classifier.pipeline.monitoring.status import ModelStatus
from classifier.pipeline.promotion import history
from classifier.pipeline.promotion.history import PastDecision
from classifier.workspace import Workspace
from classifier_ui import permissions
from classifier_ui.sections.section import Section

DECISIONS = 200


@dataclass(frozen=True, slots=True)
class Models:
    """The models and the decisions, newest first; `last` is a model's last decision, by its name."""

    models: list[ModelStatus]
    decisions: list[PastDecision]

    @property
    def last(self) -> dict[str, PastDecision]:
        """Each model's last decision."""
        return {one.model: one for one in reversed(self.decisions)}

    @property
    def former(self) -> list[str]:
        """The models that can be gone back to, the one that was champion last first."""
        retired = {model.name for model in self.models if model.status == "retired"}
        seen = [one.previous for one in self.decisions if one.previous in retired]
        return list(dict.fromkeys([*seen, *sorted(retired, reverse=True)]))

    @property
    def promotable(self) -> list[str]:
        """The models that the gate can be asked about."""
        return [model.name for model in self.models if model.status in {"candidate", "rejected", "retired"}]


def read(workspace: Workspace) -> Models:
    """Return them."""
    return Models(status.models(workspace), history.read_history(workspace, limit=DECISIONS))


SECTION = Section("models", "Models", read, permissions.RETRAIN, fresh_s=10)
