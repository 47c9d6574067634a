"""`docs/reference/recipes.md`: the fields of `Recipe`, and the recipes that come with the project."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from classifier.training import recipes
from classifier.training.recipes import Recipe
from tools.pages import page, table

FOLDER = Path(recipes.__file__).parent

INTRODUCTION = """
A recipe is a TOML file with the hyper-parameters of a training. Every field is optional; `description` is one line.
`classifier train --recipe bbc` takes one of the project's, `--recipe my.toml` a file of your own.
`--set NAME=VALUE` overrides a field, as often as you like.
"""


def recipes_page() -> str:
    """Return the page."""
    shipped = [_recipe(path) for path in sorted(FOLDER.glob("*.toml"))]
    return page("Recipes", INTRODUCTION, "## Fields", _fields(), *shipped)


def _fields() -> str:
    meanings = _meanings(Recipe.__doc__ or "")
    rows = [
        (f"`{field.name}`", f"`{field.default}`", meanings.get(field.name) or str(field.metadata.get("help", "")))
        for field in fields(Recipe)
        if field.name != "name"
    ]
    return table(("field", "default", "meaning"), rows)


def _meanings(doc: str) -> dict[str, str]:
    """Return the section `Attributes:` of a docstring, by name."""
    section = doc.rsplit("Attributes:", maxsplit=1)[-1]
    items = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in items}


def _recipe(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    description = re.search(r'^description = "(.*)"', text, re.MULTILINE)
    rows = re.findall(r"^(\w+) = (.*?)\s*(?:#\s*(.*))?$", text, re.MULTILINE)
    cells = [(f"`{name}`", f"`{value}`", reason) for name, value, reason in rows if name != "description"]
    return "\n\n".join([
        f"## `{path.stem}`",
        f"{description[1]}." if description else "",
        table(("field", "value", "reason"), cells),
    ])
