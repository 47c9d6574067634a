"""The parts of the pages. A section reads through a use case, and has a template of its name.

To add one: a module beside these with a `SECTION`, a template `templates/sections/NAME.html`, and its place in
`PAGES`. A new page is a new line there, and appears in the navigation by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from classifier_ui.sections import (
    backlog,
    champion,
    conflicts,
    dead_letters,
    drift,
    evaluation,
    labels,
    models,
    rejected,
    review,
)
from classifier_ui.sections.section import Section


@dataclass(frozen=True, slots=True)
class Page:
    """A page of sections; `path` is its address below the plugin's."""

    path: str
    title: str
    sections: tuple[Section, ...]


PAGES = (
    Page("", "Overview", (champion.SECTION, backlog.SECTION, labels.SECTION, evaluation.SECTION)),
    Page("models", "Models", (models.SECTION,)),
    Page("review", "Review", (review.SECTION, conflicts.SECTION)),
    Page("watching", "Watching", (drift.SECTION,)),
    Page("problems", "Problems", (dead_letters.SECTION, rejected.SECTION)),
)

SECTIONS = {section.name: section for page in PAGES for section in page.sections}
