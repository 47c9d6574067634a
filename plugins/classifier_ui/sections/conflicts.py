"""The articles that people disagree on."""

from __future__ import annotations

from classifier.pipeline import conflicts
from classifier_ui.sections.section import Section

SECTION = Section("conflicts", "Conflicts", conflicts.listed, fresh_s=5)
