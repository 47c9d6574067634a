"""Recipes as files: the project's own, by name, and anybody's, by path.

A file is TOML: the fields of `Recipe`, each optional, and a `description` of one line.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from classifier import atomic_files
from classifier.exceptions import SettingsError
from classifier.training.recipes import Recipe

FOLDER = Path(__file__).parent
DEFAULT = "default"

_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "str": (str, "a text"),
}
_FIELDS = {field.name: _KINDS[str(field.type)] for field in fields(Recipe) if field.name != "name"}


@dataclass(frozen=True, slots=True)
class DescribedRecipe:
    """A recipe of the project's, as a list shows it."""

    name: str
    description: str
    recipe: Recipe


def load_recipe(name: str | None = None, **overrides: Any) -> Recipe:
    """Return the recipe of a name or a file's path, the default one without; what is not None overrides it.

    Raises:
        SettingsError: there is no such recipe, or it has a key or a value that no recipe can have.
    """
    wanted = name or DEFAULT
    path = _find(wanted)
    values = _parse(path)
    changed = {key: value for key, value in overrides.items() if value is not None}
    stem = path.stem if path.parent == FOLDER else wanted
    shown = f"{stem} ({', '.join(sorted(changed))})" if changed else stem
    try:
        return Recipe(name=shown, **{**values, **changed})
    except SettingsError as error:
        raise SettingsError(str(error) if changed else f"{path}: {error}") from error


def available() -> list[DescribedRecipe]:
    """List the project's recipes by name."""
    return [
        DescribedRecipe(path.stem, _description(path), load_recipe(path.stem)) for path in sorted(FOLDER.glob("*.toml"))
    ]


def _find(name: str) -> Path:
    own = FOLDER / f"{name}.toml"
    if Path(name).name == name and own.is_file():
        return own
    path = Path(name).expanduser()
    if not path.exists():
        names = ", ".join(found.stem for found in sorted(FOLDER.glob("*.toml")))
        raise SettingsError(f"recipe {name!r}: neither a file nor one of {names}")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: not TOML ({error})") from error


def _description(path: Path) -> str:
    return str(_read(path).get("description", ""))


def _parse(path: Path) -> dict[str, Any]:
    values = _read(path)
    values.pop("description", None)
    return {key: _checked(path, key, value) for key, value in values.items()}


def _checked(path: Path, key: str, value: Any) -> Any:
    if key not in _FIELDS:
        raise SettingsError(f"{path}: unknown key {key!r}; a recipe's keys are {', '.join(_FIELDS)}")
    kind, wanted = _FIELDS[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SettingsError(f"{path}: {key} is {value!r}, not {wanted}")
    return float(value) if isinstance(value, int) and wanted == "a number" else value


def write_recipe(path: Path, recipe: Recipe, description: str, reasons: Mapping[str, str]) -> None:
    """Write a recipe as a file that `load` takes, with each value's reason; one that is there is replaced."""
    values = {name: value for name, value in asdict(recipe).items() if name != "name"}
    entries = {name: f"{name} = {json.dumps(value)}" for name, value in values.items()}
    width = max(map(len, entries.values()))
    lines = [f"{entry:{width}}  # {reasons[name]}" for name, entry in entries.items()]
    content = "\n".join([f"description = {json.dumps(description)}", "", *lines, ""])
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_files.write(path, content.encode())
