"""The number of labels written each day, and of articles in each category."""

from __future__ import annotations

from classifier.pipeline.labelling import label_counts
from classifier_ui import permissions
from classifier_ui.sections.section import Section

SECTION = Section("labels", "Labels", label_counts.count_labels, permissions.LABEL, fresh_s=60)
