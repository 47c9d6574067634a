"""`docs/reference/settings.md`: every `CLASSIFIER_…` variable, from the fields of `Settings`."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from classifier.settings import Settings
from tools.pages import page, table

INTRODUCTION = """
Each setting is an environment variable, or a line of the file `.env` in the working directory.
In Airflow, the connection `articles` names the database, and `classifier_alerts` the receivers of alerts.
`CLASSIFIER__NEWS__INBOX` sets the inbox of the instance `news` only, if one Airflow runs [several instances].

[several instances]: ../how-to/adopt-in-an-existing-airflow.md#several-instances
"""


def variables() -> set[str]:
    """Return the names of all settings' variables."""
    return {f"CLASSIFIER_{name.upper()}" for name in Settings.model_fields}


def settings_page() -> str:
    """Return the page."""
    parts = [INTRODUCTION, _fields(Settings, prefix="CLASSIFIER_")]
    for name, field in Settings.model_fields.items():
        for model in _models(field.annotation):
            parts += [f"## Keys of `CLASSIFIER_{name.upper()}`", _fields(model)]
    return page("Settings", *parts)


def _fields(model: type[BaseModel], prefix: str = "") -> str:
    rows = []
    for name, field in model.model_fields.items():
        shown = f"{prefix}{name.upper()}" if prefix else str(_alias(field.validation_alias) or name)
        rows.append((f"`{shown}`", _kind_of(field.annotation), _default(field), field.description or ""))
    return table(("variable" if prefix else "key", "value", "default", "meaning"), rows)


def _alias(alias: Any) -> str | None:
    return getattr(alias, "choices", [alias])[0] if alias else None


def _models(kind: Any) -> list[type[BaseModel]]:
    return [part for part in (kind, *get_args(kind)) if isinstance(part, type) and issubclass(part, BaseModel)]


def _kind_of(kind: Any) -> str:
    """Return what kind of value an annotation stands for, in words."""
    names = {
        str: "text",
        Path: "path",
        int: "whole number",
        float: "number",
        bool: "true or false",
        SecretStr: "secret",
    }
    if get_origin(kind) in {Union, types.UnionType}:
        return " or ".join(_kind_of(part) for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is dict or _models(kind):
        return "JSON"
    return names.get(kind) or str((get_origin(kind) and "JSON list") or getattr(kind, "__name__", kind))


def _default(field: Any) -> str:
    default = field.default_factory() if field.default_factory else field.default
    if field.is_required() or default is None:
        return ""
    return f"`{json.dumps(default) if isinstance(default, dict) else default}`"
