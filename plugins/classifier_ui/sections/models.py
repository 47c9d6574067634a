"""Every model with its scores and what was decided about it."""

from __future__ import annotations

from dataclasses import dataclass

from classifier.pipeline import history, status
from classifier.pipeline.history import Decided
from classifier.pipeline.status import ModelStatus
from classifier.workspace import Workspace
from classifier_ui import access
from classifier_ui.sections.section import Section

DECISIONS = 200


@dataclass(frozen=True, slots=True)
class Models:
    """The models and the decisions, newest first; `last` is a model's last decision, by its name."""

    models: list[ModelStatus]
    decisions: list[Decided]

    @property
    def last(self) -> dict[str, Decided]:
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
    return Models(status.models(workspace), history.run(workspace, limit=DECISIONS))


SECTION = Section("models", "Models", read, access.RETRAIN, fresh_s=10)
