"""`docs/reference/recipes.md`: every hyper-parameter, and the recipes that come with the project."""

from __future__ import annotations

import re
from pathlib import Path

from classifier.training import recipes
from classifier.training.recipes import hyper_parameters
from tools.pages import page, table

FOLDER = Path(recipes.__file__).parent

INTRODUCTION = """
A recipe is a TOML file with the hyper-parameters of a training. Every field is optional; `description` is one line.
`classifier train --recipe bbc` takes one of the project's, `--recipe my.toml` a file of your own.
`--set NAME=VALUE` overrides a field, as often as you like.
"""


def recipes_page() -> str:
    """Return the page."""
    fields = [(f"`{row.key}`", row.allowed, f"`{row.default}`", row.help) for row in hyper_parameters.describe_keys()]
    shipped = [_recipe(path) for path in sorted(FOLDER.glob("*.toml"))]
    return page("Recipes", INTRODUCTION, "## Fields", table(("field", "value", "default", "meaning"), fields), *shipped)


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
