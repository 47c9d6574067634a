"""The articles that a model could not label."""

from __future__ import annotations

from classifier.pipeline.labelling import dead_letters
from classifier.pipeline.labelling.dead_letters import DeadLetter
from classifier.workspace import Workspace
from classifier_ui import permissions
from classifier_ui.sections.section import Section

SHOWN = 50


def read(workspace: Workspace) -> list[DeadLetter]:
    """Return the newest dead letters, one more than the page shows."""
    return dead_letters.list_dead_letters(workspace, limit=SHOWN + 1)


SECTION = Section("dead_letters", "Dead letters", read, permissions.LABEL, fresh_s=10)
