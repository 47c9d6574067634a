"""What every use case does first."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from classifier.store import connections, schema
from classifier.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")


def use_case(function: Callable[Concatenate[Workspace, P], R]) -> Callable[Concatenate[Workspace, P], R]:
    """Check that the database answers and is migrated, and name its address where it does not."""

    @wraps(function)
    def checked(workspace: Workspace, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with connections.translate_errors(workspace.database):
            with workspace.database.connect() as connection:
                schema.check(connection)
            return function(workspace, *args, **kwargs)

    return checked
