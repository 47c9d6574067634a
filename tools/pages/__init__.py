"""The pages of `docs/` that are written from the code, and Markdown for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADER = "<!-- Written by docs/generate.py from the code: change the code, then run `make docs`. -->\n"


def page(title: str, *parts: str) -> str:
    """Return a page of Markdown: the header, the title and the parts, each after an empty line."""
    return "\n".join([HEADER + f"# {title}", *(f"\n{part.strip()}" for part in parts if part.strip())]) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown; `|` and line ends within cells are escaped."""
    lines = [f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}"]
    lines += [f"|{'|'.join(f' {cell} ' if (cell := _cell(text)) else ' ' for text in row)}|" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
