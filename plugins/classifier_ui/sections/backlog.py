"""The articles that wait for a label, the labelling rate, and the running trainings."""

from __future__ import annotations

from classifier.pipeline.monitoring import status
from classifier_ui import permissions
from classifier_ui.sections.section import Section

SECTION = Section("backlog", "In progress", status.read_live_status, permissions.LABEL, fresh_s=5, live=True)
