"""Several categories in one cell of a review sheet, separated by semicolons; `(none)` is none of them.

A category that has a semicolon itself is written in double quotes, as in CSV: `"a; b"; c`. In quotes, `"(none)"` is a
category of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from classifier.exceptions import ReviewError
from classifier.names import normalize_category

SEPARATOR = "; "
NONE = "(none)"
"""The answer that an article has no category of the task; an empty cell is no answer."""

_ITEM = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")*)"\s*|(?P<plain>[^;]*))(?:;|\Z)')


def format_categories(names: Iterable[str]) -> str:
    """Return a cell from which `parse_categories` returns the names."""
    return SEPARATOR.join(map(_quoted, names)) or NONE


def parse_categories(cell: str) -> tuple[str, ...]:
    """Return the normalized categories of a cell that is not empty, in its order.

    Raises:
        ReviewError: it has no category, or a category with `(none)`.
    """
    if cell.strip() == NONE:
        return ()
    items = [(match["quoted"], match["plain"]) for match in _ITEM.finditer(cell)]
    if any(plain is not None and plain.strip() == NONE for _, plain in items):
        raise ReviewError(f"category has {NONE} with other categories")
    names = [normalize_category(plain if quoted is None else quoted.replace('""', '"')) for quoted, plain in items]
    categories = tuple(name for name in names if name)
    if not categories:
        raise ReviewError(f"category has only separators; write {NONE} for none of them")
    return categories


def find_repeated(categories: Iterable[str]) -> str | None:
    """Return the problem of the first category that comes twice, or None."""
    seen: set[str] = set()
    for name in categories:
        if name in seen:
            return f"category {name[:40]!r} is named twice"
        seen.add(name)
    return None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if ";" in name or name.startswith('"') or name == NONE else name
