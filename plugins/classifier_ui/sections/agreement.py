"""How far annotators agree beyond chance."""

from __future__ import annotations

from classifier.pipeline.review import annotator_agreement
from classifier_ui import permissions
from classifier_ui.sections.section import Section

SECTION = Section("agreement", "Agreement", annotator_agreement.read_agreement, permissions.REVIEW, fresh_s=300)
