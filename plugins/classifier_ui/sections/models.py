"""Every model with its scores and decisions."""

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
class ModelList:
    """The models and the decisions, newest first."""

    models: list[ModelStatus]
    decisions: list[PastDecision]

    @property
    def last(self) -> dict[str, PastDecision]:
        """Each model's last decision, by the model's name."""
        return {decision.model: decision for decision in reversed(self.decisions)}

    @property
    def former(self) -> list[str]:
        """The models that a rollback can promote, the previous champion first."""
        retired = {model.name for model in self.models if model.status == "retired"}
        replaced = [decision.previous for decision in self.decisions if decision.previous in retired]
        return list(dict.fromkeys([*replaced, *sorted(retired, reverse=True)]))

    @property
    def promotable(self) -> list[str]:
        """The models to which the gate can be applied."""
        return [model.name for model in self.models if model.status in {"candidate", "rejected", "retired"}]


def read(workspace: Workspace) -> ModelList:
    """Return the models and the newest decisions."""
    return ModelList(status.models(workspace), history.read_history(workspace, limit=DECISIONS))


SECTION = Section("models", "Models", read, permissions.RETRAIN, fresh_s=10)
