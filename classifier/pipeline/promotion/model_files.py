"""Keep `prune` from deleting a model's files while they are in use.

An evaluation, or a training that starts from a model, reads its files for minutes or hours. It holds the model's lock
on a connection of its own, and `prune` skips locked models. If that connection is lost, the lock is released.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, TypeVar, cast

from sqlalchemy.exc import DBAPIError

from classifier import registry
from classifier.articles import Model
from classifier.exceptions import ModelNotFoundError
from classifier.store import model_locks
from classifier.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def model_in_use(workspace: Workspace, model: Model) -> Iterator[None]:
    """Hold the model's lock. `prune` sets the status under the same lock, so the status is checked afterwards.

    Raises:
        ModelNotFoundError: the model was pruned.
    """
    with workspace.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not model_locks.try_share(connection, model.id):
            raise ModelNotFoundError(f"{model.name}: another process is pruning this model; see: classifier models")
        try:
            registry.refuse_pruned(registry.find(connection, model.name))
            yield
        finally:
            with suppress(DBAPIError):  # a lost connection has already released the lock
                model_locks.release_shared(connection, model.id)


def uses_model(function: F) -> F:
    """Return a use case that finds the model that its first argument names, and holds its lock until it returns."""

    @wraps(function)
    def locked(workspace: Workspace, name: str | None = None, **options: Any) -> Any:
        with workspace.database.connect() as connection:
            model = registry.find(connection, name)
        with model_in_use(workspace, model):
            return function(workspace, model.name, **options)

    return cast("F", locked)
