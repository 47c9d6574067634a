"""The rows that validation rejected."""

from __future__ import annotations

from classifier.pipeline.ingest import rejected_rows
from classifier.pipeline.ingest.rejected_rows import RejectedRowDetails
from classifier.workspace import Workspace
from classifier_ui import permissions
from classifier_ui.sections.section import Section

SHOWN = 50


def read(workspace: Workspace) -> list[RejectedRowDetails]:
    """Return the newest rejected rows, one more than the page shows."""
    return rejected_rows.list_rejected(workspace, limit=SHOWN + 1)


SECTION = Section("rejected", "Rejected rows", read, permissions.INGEST, fresh_s=10)
