"""Record each ingest from its start to its end, however it ends. A source has one run at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from classifier.exceptions import SourceUnavailableError, UserError
from classifier.store import connections, ingest_runs
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IngestRun:
    """An ingest in progress; `source` is the name that lists show."""

    database: Engine
    split_key: str
    id: int
    source: str
    erasure_key: SecretStr | None = None


@contextmanager
def record_run(
    workspace: Workspace, source: str, kind: str, options: Mapping[str, Any] | None = None
) -> Iterator[IngestRun]:
    """Record a run as running, then as succeeded or as failed with one line.

    A separate connection holds the source's lock, which ends with the process. So a run that is still marked as
    running when the next run has the lock was killed.

    Raises:
        SourceUnavailableError: another run of the source does not end.
    """
    source = ingest_runs.run_name(source)
    engine = workspace.database.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection, _locked(connection, source):
        run_id = ingest_runs.start_run(connection, source, kind, options or {})
        try:
            with connections.translate_errors(workspace.database):
                settings = workspace.settings
                yield IngestRun(workspace.database, settings.split_key, run_id, source, settings.erasure_key)
        except BaseException as error:
            _fail_run(connection, run_id, error)
            raise
        ingest_runs.finish_run(connection, run_id, None)


@contextmanager
def _locked(connection: Connection, source: str) -> Iterator[None]:
    try:
        ingest_runs.lock_source(connection, source)
    except OperationalError as error:
        raise SourceUnavailableError(f"{source}: another run is still ingesting it; try later") from error
    try:
        yield
    finally:
        if not connection.invalidated:
            ingest_runs.unlock_source(connection, source)


def _fail_run(connection: Connection, run_id: int, error: BaseException) -> None:
    # the message of an error that is not a UserError may quote an article's text
    line = str(error) if isinstance(error, UserError) else f"{type(error).__name__}; see the log"
    try:
        ingest_runs.finish_run(connection, run_id, line)
    except SQLAlchemyError:
        log.warning("run %d could not be marked as failed: the database is gone", run_id)
