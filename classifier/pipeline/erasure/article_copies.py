"""Keep erasures apart from use cases that copy articles: trainings, evaluations and checks of annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError

from classifier.exceptions import ErasureError
from classifier.store import article_copies
from classifier.workspace import Workspace

P = ParamSpec("P")
R = TypeVar("R")


def copies_articles(function: Callable[Concatenate[Workspace, P], R]) -> Callable[Concatenate[Workspace, P], R]:
    """Return the use case so that it waits for an erasure to end, and prevents others until it returns."""

    @wraps(function)
    def locked(workspace: Workspace, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with workspace.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            article_copies.share(connection)
            try:
                return function(workspace, *args, **kwargs)
            finally:
                with suppress(DBAPIError):  # a lost connection has already released the lock
                    article_copies.release_shared(connection)

    return locked


@contextmanager
def no_copies(workspace: Workspace) -> Iterator[None]:
    """Prevent trainings, evaluations and checks of annotations from starting.

    Raises:
        ErasureError: one is running.
    """
    with workspace.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not article_copies.try_own(connection):
            raise ErasureError(
                "a training, an evaluation or a check of annotations is running, and may have copied the articles; "
                "wait for its end or stop it, then run the same command again"
            )
        try:
            yield
        finally:
            with suppress(DBAPIError):
                article_copies.release(connection)
