"""What waits for people to read, and how right they found the champion's labels."""

from __future__ import annotations

from classifier.pipeline import review
from classifier_ui import access
from classifier_ui.sections.section import Section

SECTION = Section("review", "Review", review.status, access.REVIEW, fresh_s=5)
