"""The rows of sources that could not become articles."""

from __future__ import annotations

from classifier.pipeline import rejected
from classifier.pipeline.rejected import Rejected
from classifier.workspace import Workspace
from classifier_ui import access
from classifier_ui.sections.section import Section

SHOWN = 50


def read(workspace: Workspace) -> list[Rejected]:
    """Return the newest, one more than are shown."""
    return rejected.listed(workspace, limit=SHOWN + 1)


SECTION = Section("rejected", "Rejected rows", read, access.INGEST, fresh_s=10)
