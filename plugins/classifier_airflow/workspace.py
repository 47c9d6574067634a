"""Open the workspace of a task: the database of the instance's connection, else that of the environment's settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier_airflow import instances

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from classifier.settings import Settings
    from classifier.training.fit import TrainingProgress
    from classifier.workspace import Workspace
    from classifier_airflow.instances import Instance
    from classifier_airflow.tasks_of_run import ChosenTask

log = logging.getLogger(__name__)

_AIRFLOW_ONLY = {
    "iam", "redshift", "redshift-serverless", "cursor", "cluster-identifier", "workgroup-name", "aws_conn_id",
    "azure_conn_id", "sqlalchemy_scheme", "sqlalchemy_query",
}  # fmt: skip
"""Extras that Airflow's own Postgres hook reads and does not pass to libpq."""


def workspace(chosen: ChosenTask | None = None, *, instance: Instance | None = None) -> Workspace:
    """Return the workspace of an instance, by default the current one, for a chosen task or the only task.

    Raises:
        SettingsError: a named instance has no database.
    """
    from classifier.workspace import open_workspace

    instance = instance or instances.current()
    task = chosen["id"] if chosen else None
    return open_workspace(instance.settings, database_url=database_url(instance), task=task)


def database_url(instance: Instance | None = None) -> str | None:
    """Return the URL of the instance's connection; None if Airflow has no such connection.

    Raises:
        SettingsError: a named instance has no such connection, and no setting names its database.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    from classifier.exceptions import SettingsError

    instance = instance or instances.current()
    try:
        return url_of(BaseHook.get_connection(instance.connection_id))
    except AirflowNotFoundException as error:
        if instance.name and not instance.settings.database_url:
            raise SettingsError(
                f"connection {instance.connection_id}: not found; create it in Airflow, of type Postgres, for the "
                f"database of the instance {instance.name}"
            ) from error
        return None


def url_of(connection: Connection) -> str:
    """Return the URL of an Airflow connection to Postgres, with the extras that are options of libpq.

    If the host is a path, it is a socket. An extra overrides the field of the same meaning, as in Airflow's own hook.

    Raises:
        SettingsError: the extras are not a JSON object; `sslmode` could be among them.
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
    """Return the extras that libpq knows, as strings; log the names of unknown extras."""
    extras = _extras(connection)
    query = extras.get("sqlalchemy_query")
    values = {**(query if isinstance(query, Mapping) else {}), **extras}
    options = {
        name: str(int(value)) if isinstance(value, bool) else str(value)
        for name, value in values.items()
        if isinstance(value, str | int | float) and value != "" and _is_libpq_option(name)
    }
    if unknown := sorted(name for name in values if name not in _AIRFLOW_ONLY and not _is_libpq_option(name)):
        # a misspelt sslmode would be among them
        log.warning("connection %s: unknown extras are ignored: %s", connection.conn_id, ", ".join(unknown))
    return options


def _extras(connection: Connection) -> dict[str, Any]:
    from classifier.exceptions import SettingsError

    extras = connection.extra_dejson  # empty if it is not JSON, which Airflow only logs
    text = (connection.extra or "").strip()
    if not isinstance(extras, dict) or (text and not extras and text.replace(" ", "") not in {"{}", "null"}):
        raise SettingsError(
            f'connection {connection.conn_id}: its extra is not a JSON object; write {{"sslmode": "require"}}'
        )
    return extras


def _is_libpq_option(name: str) -> bool:
    """Return whether libpq knows an option of this name, according to its own parser."""
    import psycopg2
    from psycopg2.extensions import parse_dsn

    try:
        return name.isidentifier() and set(parse_dsn(f"{name}=1")) == {name}
    except psycopg2.ProgrammingError:
        return False


def inbox_or_skip(settings: Settings) -> str:
    """Return the inbox; skip the task if no inbox is set, or the inbox is empty."""
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.exceptions import SourceError
    from classifier.ingest.readers import expand_pattern

    if settings.inbox is None:
        raise AirflowSkipException("no files are named, and CLASSIFIER_INBOX is not set; nothing to ingest")
    inbox = f"{settings.inbox}/*" if Path(settings.inbox).is_dir() else settings.inbox
    try:
        expand_pattern(inbox)
    except SourceError as error:
        raise AirflowSkipException(str(error)) from error
    return inbox


def log_training(every_s: float = 15) -> Callable[[TrainingProgress], None]:
    """Return a function that writes a training's progress to the task's log at most every `every_s` seconds."""
    last = 0.0

    def on_progress(progress: TrainingProgress) -> None:
        nonlocal last
        if progress.seconds - last < every_s and progress.step < progress.steps:
            return
        last = progress.seconds
        score = "" if progress.validation is None else f", validation macro-F1 {progress.validation:.4f}"
        left = "" if progress.seconds_left is None else f", {progress.seconds_left:.0f} s left"
        steps = f"step {progress.step} of {progress.steps}, epoch {progress.epoch}"
        log.info("%s, loss %.4f%s%s", steps, progress.loss, score, left)

    return on_progress
