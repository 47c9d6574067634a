"""The articles that a model could not label."""

from __future__ import annotations

from classifier.pipeline import dead_letters
from classifier.pipeline.dead_letters import DeadLetter
from classifier.workspace import Workspace
from classifier_ui import access
from classifier_ui.sections.section import Section

SHOWN = 50


def read(workspace: Workspace) -> list[DeadLetter]:
    """Return the newest, one more than are shown."""
    return dead_letters.listed(workspace, limit=SHOWN + 1)


SECTION = Section("dead_letters", "Dead letters", read, access.LABEL, fresh_s=10)
