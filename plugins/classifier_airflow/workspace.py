"""Where a task finds the database: the connection `articles`, else the settings of the environment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from classifier.settings import Settings
    from classifier.training.fit import Progress
    from classifier.workspace import Workspace

log = logging.getLogger(__name__)

CONNECTION_ID = "articles"

_AIRFLOW_ONLY = {
    "iam", "redshift", "redshift-serverless", "cursor", "cluster-identifier", "workgroup-name", "aws_conn_id",
    "azure_conn_id", "sqlalchemy_scheme", "sqlalchemy_query",
}  # fmt: skip
"""Extras that Airflow's own Postgres hook reads and does not pass to libpq."""


def workspace() -> Workspace:
    """Open the database that the connection `articles` names."""
    from classifier import settings
    from classifier.workspace import open_workspace

    return open_workspace(settings.load(), database_url=database_url())


def database_url() -> str | None:
    """Return the URL of the connection `articles`, None where Airflow has none of that name."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return url_of(BaseHook.get_connection(CONNECTION_ID))
    except AirflowNotFoundException:
        return None


def url_of(connection: Connection) -> str:
    """Return the URL of an Airflow connection to Postgres, with those of its extras that are options of libpq.

    A host that is a path is a socket. An extra overrides the field of the same meaning, as in Airflow's own hook.

    Raises:
        SettingsError: the extras are not a JSON object; `sslmode` may be among them.
    """
    from sqlalchemy import URL

    socket = (connection.host or "").startswith("/")
    url = URL.create(
        "postgresql+psycopg2",
        username=connection.login,
        password=connection.password or None,
        host=None if socket else connection.host,
        port=connection.port,
        database=connection.schema,
        query={**({"host": connection.host} if socket else {}), **_libpq_options(connection)},
    )
    return url.render_as_string(hide_password=False)


def _libpq_options(connection: Connection) -> dict[str, str]:
    """Return the extras that libpq knows, as strings; log the names of those that nothing knows."""
    extras = _extras(connection)
    query = extras.get("sqlalchemy_query")
    given = {**(query if isinstance(query, Mapping) else {}), **extras}
    options = {
        name: str(int(value)) if isinstance(value, bool) else str(value)
        for name, value in given.items()
        if isinstance(value, str | int | float) and value != "" and _is_libpq_option(name)
    }
    if unknown := sorted(name for name in given if name not in _AIRFLOW_ONLY and not _is_libpq_option(name)):
        # a misspelt sslmode would be one of them
        log.warning("connection %s: unknown extras are ignored: %s", connection.conn_id, ", ".join(unknown))
    return options


def _extras(connection: Connection) -> dict[str, Any]:
    from classifier.exceptions import SettingsError

    extras = connection.extra_dejson  # empty if it is no JSON, which Airflow only logs
    given = (connection.extra or "").strip()
    if not isinstance(extras, dict) or (given and not extras and given.replace(" ", "") not in {"{}", "null"}):
        raise SettingsError(
            f'connection {connection.conn_id}: its extra is not a JSON object; write {{"sslmode": "require"}}'
        )
    return extras


def _is_libpq_option(name: str) -> bool:
    """Return whether libpq, which is asked, knows an option of this name."""
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        return name.isidentifier() and set(parse_dsn(f"{name}=1")) == {name}
    except psycopg2.ProgrammingError:
        return False


def inbox_or_skip(settings: Settings) -> str:
    """Return the inbox, or skip the task where none is set or nothing has arrived in it."""
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.exceptions import SourceError
    from classifier.ingest.readers import expand_pattern

    if settings.inbox is None:
        raise AirflowSkipException("no files are named, and CLASSIFIER_INBOX is not set")
    inbox = f"{settings.inbox}/*" if Path(settings.inbox).is_dir() else settings.inbox
    try:
        expand_pattern(inbox)
    except SourceError as error:
        raise AirflowSkipException(str(error)) from error
    return inbox


def log_training(every_s: float = 15) -> Callable[[Progress], None]:
    """Return a function that writes a training's progress to the task's log now and then."""
    last = 0.0

    def on_progress(now: Progress) -> None:
        nonlocal last
        if now.seconds - last < every_s and now.step < now.steps:
            return
        last = now.seconds
        score = "" if now.validation is None else f", validation macro-F1 {now.validation:.4f}"
        left = "" if now.seconds_left is None else f", {now.seconds_left:.0f} s left"
        log.info("step %d of %d, epoch %d, loss %.4f%s%s", now.step, now.steps, now.epoch, now.loss, score, left)

    return on_progress
