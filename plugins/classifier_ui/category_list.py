"""What the page of categories shows: the rows of the tree, those that match a search, and what needs attention."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from classifier.pipeline.categories.overview import CategorySummary, PastChange

MAX_ROWS = 200
MAX_NAMED = 10
MAX_HISTORY = 30


@dataclass(frozen=True, slots=True)
class Search:
    """Which categories a user asked for.

    Attributes:
        words: What a name, a former name or a description contains.
        closed: Whether retired and split categories are listed, too.
        start: How many matching categories come before the first row.
        chosen: Categories that the user has checked; they are listed in any case.
    """

    words: str = ""
    closed: bool = False
    start: int = 0
    chosen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """A row of the list. `above` are the ancestors that no row above it shows; `depth` is its indentation."""

    category: CategorySummary
    depth: int
    above: tuple[str, ...]
    chosen: bool


@dataclass(frozen=True, slots=True)
class CategoryList:
    """A part of the matching categories.

    Attributes:
        matching: How many match the search.
        shown: How many of them are rows; the chosen ones that do not match are rows, too.
        total: All categories of the task; `closed` of them are retired or split.
    """

    rows: tuple[CategoryRow, ...]
    start: int
    shown: int
    matching: int
    total: int
    closed: int

    @property
    def left(self) -> int:
        """How many matching categories come after the rows."""
        return self.matching - self.start - self.shown


def list_rows(categories: Sequence[CategorySummary], search: Search) -> CategoryList:
    """Return the rows that a search shows, in the order of the tree; other chosen categories come first."""
    matching = [category for category in categories if _matches(category, search)]
    start = search.start if search.start < len(matching) else 0
    page = matching[start : start + MAX_ROWS]
    on_page = {category.category for category in page}
    pinned = [each for each in categories if each.category in search.chosen and each.category not in on_page]
    rows = [CategoryRow(category, 0, category.path[:-1], chosen=True) for category in pinned]
    depths: dict[str, int] = {}
    for category in page:
        name, ancestors = category.category, category.path[:-1]
        parent = depths.get(ancestors[-1]) if ancestors else None
        depths[name] = 0 if parent is None else parent + 1
        rows.append(CategoryRow(category, depths[name], ancestors if parent is None else (), name in search.chosen))
    closed = sum(category.state != "active" for category in categories)
    return CategoryList(tuple(rows), start, len(page), len(matching), len(categories), closed)


def unknown_to_champion(categories: Iterable[CategorySummary]) -> list[CategorySummary]:
    """Return the categories in use with annotated articles that the champion does not know, the largest first."""
    unknown = [
        each for each in categories if each.champion_knows is False and each.state == "active" and each.annotated
    ]
    return sorted(unknown, key=lambda category: (-category.annotated, category.category))


def named(categories: Iterable[CategorySummary], names: Collection[str]) -> list[CategorySummary]:
    """Return the categories with these present names."""
    return [category for category in categories if category.category in names]


def last_undoable(history: Iterable[PastChange]) -> PastChange | None:
    """Return the change that an undo takes back; `history` has the newest first."""
    return next((change for change in history if change.kind != "undo" and not change.undone), None)


def _matches(category: CategorySummary, search: Search) -> bool:
    if not search.closed and category.state != "active":
        return False
    words = search.words.strip().casefold()
    texts = (category.category, *category.former_names, category.description)
    return any(words in text.casefold() for text in texts)
