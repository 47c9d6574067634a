"""HTML and SVG that cannot be broken by what is put into it: every string is escaped unless it is markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return it as it is, where a template would escape text."""
        return self


Child = str | Iterable["Child"] | None


def tag(name: str, *children: Child, **attributes: object) -> Markup:
    """Return an element; `class_` stands for class, and other underscores for hyphens."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Return the children one after the other, escaped unless they are markup."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        return Markup(escape(children))
    return Markup("".join(join(child) for child in children))


def table(head: Iterable[Child], rows: Iterable[Iterable[Child]], **attributes: object) -> Markup:
    """Return a table; it scrolls by itself where it is wider than the page."""
    columns = tag("thead", tag("tr", [tag("th", cell, scope="col") for cell in head]))
    body = tag("tbody", [tag("tr", [cell if _is_cell(cell) else tag("td", cell) for cell in row]) for row in rows])
    return tag("div", tag("table", columns, body, **attributes), class_="wide")


def _is_cell(child: Child) -> bool:
    return isinstance(child, Markup) and child.startswith(("<td", "<th"))


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
