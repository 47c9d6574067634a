"""What waits for people to read, and how right they found the champion's labels."""

from __future__ import annotations

from classifier.pipeline import review
from classifier_ui.sections.section import Section

SECTION = Section("review", "Review", review.status, fresh_s=5)
