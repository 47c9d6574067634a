"""Where a task finds the database: the connection `articles`, else the settings of the environment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from classifier.settings import Settings
    from classifier.training.fit import Progress
    from classifier.workspace import Workspace

log = logging.getLogger(__name__)

CONNECTION_ID = "articles"


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
    """Turn an Airflow connection into the URL that SQLAlchemy takes; a host that is a path is a socket."""
    from sqlalchemy import URL

    socket = (connection.host or "").startswith("/")
    url = URL.create(
        "postgresql+psycopg2",
        username=connection.login,
        password=connection.password or None,
        host=None if socket else connection.host,
        port=connection.port,
        database=connection.schema,
        query={"host": connection.host} if socket else {},
    )
    return url.render_as_string(hide_password=False)


def inbox_or_skip(settings: Settings) -> str:
    """Return the inbox, or skip the task where none is set or nothing has arrived in it."""
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.exceptions import SourceError
    from classifier.ingest.sources import expand

    if settings.inbox is None:
        raise AirflowSkipException("no files are named, and CLASSIFIER_INBOX is not set")
    inbox = f"{settings.inbox}/*" if Path(settings.inbox).is_dir() else settings.inbox
    try:
        expand(inbox)
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
