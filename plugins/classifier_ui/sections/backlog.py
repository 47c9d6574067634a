"""What waits for a label, how fast it goes, and which trainings are under way."""

from __future__ import annotations

from classifier.pipeline.monitoring import status
from classifier_ui import permissions
from classifier_ui.sections.section import Section

SECTION = Section("backlog", "At work", status.read_live_status, permissions.LABEL, fresh_s=5, live=True)
