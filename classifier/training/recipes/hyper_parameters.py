"""Derive from the declaration of `Recipe` its documentation, its JSON schema, and one-line errors.

Nothing heavy is imported here: the DAG `retrain_classifier` builds its form with this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from classifier.exceptions import SettingsError
from classifier.training.recipes import Recipe

_KINDS = {"integer": "a whole number", "number": "a number"}
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


@dataclass(frozen=True, slots=True)
class HyperParameter:
    """The documentation of one hyper-parameter."""

    key: str
    default: float | str
    allowed: str
    help: str


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of an object that sets any of the hyper-parameters."""
    properties: dict[str, Any] = TypeAdapter(Recipe).json_schema()["properties"]
    shown = {
        key: {name: value for name, value in schema.items() if name != "title"}
        for key, schema in properties.items()
        if key != "name"
    }
    return {"type": "object", "properties": shown, "additionalProperties": False}


_PROPERTIES: dict[str, Any] = json_schema()["properties"]

KEYS = tuple(_PROPERTIES)


def describe_keys() -> list[HyperParameter]:
    """Return the documentation of every hyper-parameter, in the order of their declaration."""
    return [
        HyperParameter(key, schema["default"], _allowed(schema), schema["description"])
        for key, schema in _PROPERTIES.items()
    ]


def markdown_table() -> str:
    """Return the documentation of every hyper-parameter as a table in Markdown."""
    rows = [f"| `{row.key}` | {row.default} | {row.allowed} | {row.help} |" for row in describe_keys()]
    return "\n".join(["| key | default | allowed | meaning |", "| --- | --- | --- | --- |", *rows])


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Return the values of assignments such as `epochs=3`; if a key occurs twice, the last value counts.

    Raises:
        SettingsError: an assignment has no `=`, or an unknown key.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise SettingsError(f"{assignment!r}: must be KEY=VALUE, such as epochs=3")
        values[_checked_key(key.strip())] = _number_or_text(text.strip())
    return values


def recipe_of(name: str, values: Mapping[str, Any]) -> Recipe:
    """Return a recipe with these values; the declaration's defaults fill in the others.

    Raises:
        SettingsError: a key is unknown, or a value not allowed.
    """
    for key in values:
        _checked_key(key)
    try:
        return Recipe(name=name, **values)
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        raise SettingsError(f"{key} {values[key]!r}: must be {_allowed(_PROPERTIES[key])}") from error


def _checked_key(key: str) -> str:
    if key not in _PROPERTIES:
        raise SettingsError(f"unknown key {key!r}; the keys are {', '.join(KEYS)}")
    return key


def _number_or_text(text: str) -> float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _allowed(schema: Mapping[str, Any]) -> str:
    """Return the words for the values that a property of the schema allows, to follow "must be"."""
    if "enum" in schema:
        *others, last = schema["enum"]
        return f"{', '.join(others)} or {last}"
    bounds = [f"{words} {schema[name]:g}" for name, words in _BOUNDS.items() if name in schema]
    return f"{_KINDS[schema['type']]}, {' and '.join(bounds)}"
