"""The articles on which annotators disagree."""

from __future__ import annotations

from classifier.pipeline.review import conflicts
from classifier_ui import permissions
from classifier_ui.sections.section import Section

SECTION = Section("conflicts", "Conflicts", conflicts.list_conflicts, permissions.REVIEW, fresh_s=5)
