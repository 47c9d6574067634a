"""What every group of commands needs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from classifier import settings
from classifier.exceptions import SettingsError
from classifier.workspace import Workspace, open_workspace

Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of a table.")]
Engine = Annotated[str, typer.Option(help="What computes: auto, openvino or keras.")]


def workspace() -> Workspace:
    """Open the database that the settings name."""
    return open_workspace(settings.load())


def engine_name(name: str) -> Any:
    """Return the name of an engine, or of "auto".

    Raises:
        SettingsError: there is none of that name.
    """
    if name not in {"auto", "openvino", "keras"}:
        raise SettingsError(f"engine {name!r}: one of auto, openvino, keras")
    return name
