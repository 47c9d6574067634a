"""The articles that people disagree on."""

from __future__ import annotations

from classifier.pipeline import conflicts
from classifier_ui import access
from classifier_ui.sections.section import Section

SECTION = Section("conflicts", "Conflicts", conflicts.listed, access.REVIEW, fresh_s=5)
