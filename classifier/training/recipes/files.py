"""Read and write recipe files: those of the project, by name, and those of users, by path.

A file is TOML: the hyper-parameters of `Recipe`, each optional, and a `description` of one line.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from classifier import atomic_files
from classifier.exceptions import SettingsError
from classifier.training.recipes import Recipe, hyper_parameters

DIRECTORY = Path(__file__).parent
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class DescribedRecipe:
    """A recipe of the project with its name and description."""

    name: str
    description: str
    recipe: Recipe


def load_recipe(name: str | None = None, /, **changes: Any) -> Recipe:
    """Return the recipe with this name or in this file; without a name, the default recipe. `changes` override it.

    Raises:
        SettingsError: the recipe is not found, or a key or value of it or of `changes` is not allowed.
    """
    name = name or DEFAULT
    path = _find(name)
    values = _read(path)
    values.pop("description", None)
    shown_name = path.stem if path.parent == DIRECTORY else name
    try:
        recipe = hyper_parameters.recipe_of(shown_name, values)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error
    if not changes:
        return recipe
    return hyper_parameters.recipe_of(f"{shown_name} ({', '.join(sorted(changes))})", {**values, **changes})


def available() -> list[DescribedRecipe]:
    """Return the project's recipes, ordered by name."""
    return [
        DescribedRecipe(path.stem, str(_read(path).get("description", "")), load_recipe(path.stem))
        for path in sorted(DIRECTORY.glob("*.toml"))
    ]


def _find(name: str) -> Path:
    project_file = DIRECTORY / f"{name}.toml"
    if Path(name).name == name and project_file.is_file():
        return project_file
    path = Path(name).expanduser()
    if not path.exists():
        names = ", ".join(file.stem for file in sorted(DIRECTORY.glob("*.toml")))
        raise SettingsError(f"recipe {name!r}: not found; give a file, or one of {names}")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot read ({error.strerror})") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: not TOML ({error})") from error


def write_recipe(path: Path, recipe: Recipe, description: str, reasons: Mapping[str, str]) -> None:
    """Write a recipe as a file that `load_recipe` reads, with a reason for each value; replace an existing file."""
    values = asdict(recipe)
    entries = {key: f"{key} = {json.dumps(values[key])}" for key in hyper_parameters.KEYS}
    width = max(map(len, entries.values()))
    lines = [f"{entry:{width}}  # {reasons[key]}" for key, entry in entries.items()]
    content = "\n".join([f"description = {json.dumps(description)}", "", *lines, ""])
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_files.write(path, content.encode())
