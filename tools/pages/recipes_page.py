"""`docs/reference/recipes.md`: the fields of `Recipe`, and the recipes that come with the project."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from classifier.training import recipes
from classifier.training.recipes import Recipe
from tools.pages import page, table
from tools.pages.settings_page import kind_of

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
    meanings, declared = _meanings(), _declared()
    rows = [
        (
            f"`{field.name}`",
            kind_of(declared[field.name].annotation) if field.name in declared else str(field.type),
            f"`{field.default}`",
            meanings.get(field.name, ""),
        )
        for field in fields(Recipe)
        if field.name != "name"
    ]
    return table(("field", "value", "default", "meaning"), rows)


def _declared() -> dict[str, Any]:
    """Return pydantic's declarations of the fields, if `Recipe` is a dataclass of pydantic's."""
    return dict(getattr(Recipe, "__pydantic_fields__", {}))


def _meanings() -> dict[str, str]:
    """Return each field's meaning: its own description, or its line in the docstring's section `Attributes:`."""
    section = (Recipe.__doc__ or "").split("Attributes:")[-1]
    items = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", section, re.MULTILINE)
    described = {name: info.description for name, info in _declared().items() if info.description}
    return {name: " ".join(text.split()) for name, text in items} | described


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
