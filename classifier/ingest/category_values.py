"""Turn the values of a column into categories: one, several, or none.

A text is one category, unless a separator divides it. A list is several. What a list without values means depends on
the task: in a multi-label task it is the answer "none of them", in a single-label task nothing was answered. A missing
value, and a list of missing values, is never an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from classifier.articles import Task
from classifier.ingest.columns import Cell
from classifier.ingest.scalars import as_string
from classifier.names import normalize_category
from classifier.value_kinds import describe_kind

MAX_CATEGORIES = 1000
"""Different categories in one list."""

Categories = str | tuple[str, ...] | None
"""The categories of a row: one, several in alphabetical order, or None if the row has no annotation."""


class BadValueError(Exception):
    """A list has a value that is no category."""


@dataclass(frozen=True, slots=True)
class CategoryRules:
    """How the values of a unit's columns become categories.

    `separator` divides a text into categories. A text that equals `none_value` is a list without values. `tasks` are
    the tasks of the fields, if these are known.
    """

    separator: str | None = None
    none_value: str | None = None
    tasks: Mapping[str, Task] = field(default_factory=dict)

    @property
    def has_plain_texts(self) -> bool:
        """Whether each text is one category."""
        return self.separator is None and self.none_value is None

    def normalize(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return each cell's categories, each normalized and once: a tuple if there may be several."""
        if self.has_plain_texts and not has_lists(cells):
            return [cell and normalize_category(cell) for cell in cells]  # type: ignore[arg-type]
        return [self._normalize_cell(cell) for cell in cells]

    def renamed(self, cell: Cell) -> Iterator[tuple[str, str]]:
        """Yield the names of a cell that differ from their categories in more than white space, with the categories."""
        for name in map(str.strip, self._parts(cell)):
            if (category := normalize_category(name)) and category != name:
                yield name, category

    def has_repeated(self, cell: Cell) -> bool:
        """Return whether a cell has a category twice."""
        names = [category for name in self._parts(cell) if (category := normalize_category(name))]
        return len(names) > len(set(names))

    def find_faults(self, name: str, cells: Sequence[Cell]) -> Iterator[tuple[int, str]]:
        """Yield the normalized cells of a field with too many categories, by index, and what is wrong."""
        if not has_lists(cells):
            return
        task = self.tasks.get(name)
        for index, cell in enumerate(cells):
            if not isinstance(cell, tuple) or len(cell) < 2:
                continue
            if task is not None and task.kind == "single":
                yield index, f"category has {len(cell):,} values; the task {task.name} takes one"
            elif len(cell) > MAX_CATEGORIES:
                yield index, f"{name} has {len(cell):,} values, more than the maximum of {MAX_CATEGORIES:,}"

    def assign(self, name: str, cells: Sequence[Cell]) -> list[Categories]:
        """Return the categories of a field's normalized cells; of a cell with too many, the first."""
        if not has_lists(cells):
            return [cell or None for cell in cells]
        task = self.tasks.get(name)
        if task is not None and task.kind == "single":
            return [next(iter(category_names(cell or None)), None) for cell in cells]
        return [cell if isinstance(cell, tuple) else cell or None for cell in cells]

    def _normalize_cell(self, cell: Cell) -> Cell:
        if not cell:
            return cell
        if isinstance(cell, str) and self.none_value is not None and _is_same(cell, self.none_value):
            return ()
        if isinstance(cell, str) and self.separator is None:
            return normalize_category(cell)
        names = {category for name in self._parts(cell) if (category := normalize_category(name))}
        return tuple(sorted(names)) or ""

    def _parts(self, cell: Cell) -> Iterable[str]:
        """Return the names in a cell."""
        if not isinstance(cell, str):
            return cell or ()
        return [cell] if self.separator is None else cell.split(self.separator)


def as_strings(name: str, values: Iterable[object]) -> tuple[str, ...]:
    """Return the values of a field's list as strings, "" for a missing one.

    Raises:
        BadValueError: a value is no string, number or time.
    """
    strings = []
    for value in values:
        string = as_string(value)
        if string is None and value is not None:
            raise BadValueError(f"{name} has {describe_kind(value)} in its list, but must be a list of strings")
        strings.append(string or "")
    return tuple(strings)


def category_names(categories: Categories) -> tuple[str, ...]:
    """Return a row's categories as a tuple."""
    return (categories,) if isinstance(categories, str) else categories or ()


def has_lists(cells: Sequence[Cell]) -> bool:
    """Return whether a column has a list. Most have none, so the answer must be fast."""
    return tuple in set(map(type, cells))


def flatten(cells: Sequence[Cell]) -> Iterable[tuple[int, str | None]]:
    """Return each value with the index of its row; the values of a list have the same index."""
    if not has_lists(cells):
        return enumerate(cells)  # type: ignore[arg-type]
    lists = (cell if isinstance(cell, tuple) else (cell,) for cell in cells)
    return ((index, value) for index, values in enumerate(lists) for value in values)


def _is_same(name: str, other: str) -> bool:
    return normalize_category(name) == normalize_category(other)
