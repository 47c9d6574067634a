"""What every group of commands needs."""

from __future__ import annotations

from typing import Annotated

import typer

from classifier import settings
from classifier.workspace import Workspace, open_workspace

Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON instead of a table.")]


def workspace() -> Workspace:
    """Open the database that the settings name."""
    return open_workspace(settings.load())
