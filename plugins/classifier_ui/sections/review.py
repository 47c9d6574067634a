"""The articles that wait for review, and the audited accuracy of the champion's labels."""

from __future__ import annotations

from classifier.pipeline.review import review_queue
from classifier_ui import permissions
from classifier_ui.sections.section import Section

SECTION = Section("review", "Review", review_queue.read_status, permissions.REVIEW, fresh_s=5)
