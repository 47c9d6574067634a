"""The decorator of every use case."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from classifier.store import connections, schema
from classifier.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")


def use_case(function: Callable[Concatenate[Workspace, P], R]) -> Callable[Concatenate[Workspace, P], R]:
    """Return the function with a check before it: the database must answer and be migrated.

    The error of a database that does not answer names its URL.
    """

    @wraps(function)
    def checked(workspace: Workspace, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with connections.translate_errors(workspace.database):
            with workspace.database.connect() as connection:
                schema.check(connection)
            return function(workspace, *args, **kwargs)

    return checked
