"""What waits for a label, how fast it goes, and which trainings are under way."""

from __future__ import annotations

from classifier.pipeline import status
from classifier_ui import access
from classifier_ui.sections.section import Section

SECTION = Section("backlog", "At work", status.live, access.LABEL, fresh_s=5, live=True)
