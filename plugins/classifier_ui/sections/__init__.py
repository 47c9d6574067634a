"""The sections of the pages. A section calls a use case, and has a template of the same name.

To add a section, write a module with a `SECTION` and a template `templates/sections/NAME.html`, and add it to `PAGES`.
To add a page, add a line to `PAGES`; the navigation shows it automatically. A page without sections has a route in a
module of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from classifier_ui.sections import (
    agreement,
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
class SectionPage:
    """A page of sections; `path` is its URL below the plugin's."""

    path: str
    title: str
    sections: tuple[Section, ...]


PAGES = (
    SectionPage("", "Overview", (champion.SECTION, backlog.SECTION, labels.SECTION, evaluation.SECTION)),
    SectionPage("models", "Models", (models.SECTION,)),
    SectionPage("categories", "Categories", ()),
    SectionPage("review", "Review", (review.SECTION, conflicts.SECTION, agreement.SECTION)),
    SectionPage("drift", "Drift", (drift.SECTION,)),
    SectionPage("problems", "Problems", (dead_letters.SECTION, rejected.SECTION)),
)

SECTIONS = {section.name: section for page in PAGES for section in page.sections}
