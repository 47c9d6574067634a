"""How many labels were written on each day, and how many articles each category has."""

from __future__ import annotations

from classifier.pipeline import labels
from classifier_ui import access
from classifier_ui.sections.section import Section

SECTION = Section("labels", "Labels", labels.run, access.LABEL, fresh_s=60)
