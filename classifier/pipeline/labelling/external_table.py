"""Label a table or query of an external database with the champion, into a table in that database or another one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from sqlalchemy import Connection

from classifier import registry
from classifier.articles import Model
from classifier.exceptions import SettingsError, TableError
from classifier.external_table import definition, postgres_keys, statements, table_names
from classifier.external_table.definition import ExternalTable
from classifier.external_table.external_connections import ExternalConnection
from classifier.external_table.label_stores import JoinedLabels, LabelStore, SeparateLabels
from classifier.external_table.statements import TablePair
from classifier.external_table.worker import ExternalTableWorker
from classifier.inference import engines
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.model.artefact import Artefact
from classifier.pipeline.use_case import use_case
from classifier.store import external_databases, model_rows, task_rows
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExternalTableReport:
    """The result of one run. `out` is the table of labels; `seconds` and the rate exclude loading the model."""

    out: str
    model: str
    labelled: int
    dead_letters: int
    seconds: float
    engine: str

    @property
    def rows_per_second(self) -> float:
        """The rate; 0 if nothing was labelled."""
        return self.labelled / self.seconds if self.seconds and self.labelled else 0.0


@use_case
def label_external_table(
    workspace: Workspace,
    address: str,
    table: ExternalTable,
    *,
    out_address: str | None = None,
    refresh: bool = False,
    limit: int | None = None,
    page_size: int = 512,
    engine: engines.EngineName = "auto",
    on_start: Callable[[int], None] = lambda _: None,
    on_page: Callable[[int], None] = lambda _: None,
) -> ExternalTableReport:
    """Label every row that has no label of the champion; if the champion changes, continue with the new one.

    `address` is the URL of the database, `out_address` that of the labels, if it is another one. With `refresh`, all
    rows are read, to find texts that have changed. The next run labels rows that are inserted before the current page.
    `on_start` receives the number of rows to read, `on_page` the number of rows of each committed page.

    Raises:
        NoChampionError: no model has been promoted yet.
        ArtefactError: the champion's files are not the registered ones.
        SettingsError: the URL cannot be used.
        SourceUnavailableError: the external database does not answer.
        TableError: the table, its key or its text cannot be used, or the table of labels has other columns.
    """
    champion, files = _open_champion(workspace)  # before a table is created
    labelled = dead = 0
    seconds = 0.0
    with ExitStack() as opened:
        store = _open_store(workspace, address, table, out_address, opened)
        while True:
            labeller = FineTunedClassifier(files.load()).labeller(engine, home=workspace.settings.home)
            worker = ExternalTableWorker(workspace.database, store, champion, labeller, refresh, page_size)
            on_start(worker.count_waiting())
            remaining = None if limit is None else limit - labelled - dead
            progress = worker.work(limit=remaining, on_page=on_page)
            labelled, dead = labelled + progress.labelled, dead + progress.dead
            seconds += progress.seconds
            if not progress.replaced:
                return ExternalTableReport(
                    store.pair.labels.fullname, champion.name, labelled, dead, seconds, labeller.engine_name
                )
            log.info("%s is no longer the champion: continuing with the new champion", champion.name)
            champion, files = _open_champion(workspace)


def _open_champion(workspace: Workspace) -> tuple[Model, Artefact]:
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
    return champion, registry.open_artefact(champion)


def _open_store(
    workspace: Workspace, address: str, table: ExternalTable, out_address: str | None, opened: ExitStack
) -> LabelStore:
    """Check the table and its key, then create the table of labels. The connections end with `opened`."""
    kind = workspace.task.kind
    external = _connect(workspace, address, table.name, "--url")
    opened.callback(external.database.dispose)
    if out_address is None or out_address == address:
        with external.transaction() as connection:
            pair = definition.find_table(connection, table, kind=kind)
        _check_key(external, table, pair)
        with external.transaction() as connection:
            definition.create_labels(connection, pair)
            _refuse_other_task(workspace, connection, pair)
        return JoinedLabels(external, pair)
    out = _connect(workspace, out_address, "the labels", "--out-url")
    opened.callback(out.database.dispose)
    with external.transaction() as connection, out.reading() as out_connection:
        pair = definition.find_table(connection, table, out_connection, kind=kind)
    _check_key(external, table, pair)
    with out.transaction() as connection:
        definition.create_labels(connection, pair)
        _refuse_other_task(workspace, connection, pair)
    return SeparateLabels(external, out, pair)


def _refuse_other_task(workspace: Workspace, connection: Connection, pair: TablePair) -> None:
    """Refuse a table with the labels of another task, which would replace them."""
    name = statements.any_model(connection, pair)
    if name is None:
        return
    with workspace.database.connect() as own:
        task, present = model_rows.task_of(own, name), task_rows.current(own).name
    if task not in {None, present}:
        shown = table_names.shown(pair.labels.schema, pair.labels.name)
        raise TableError(f"table {shown!r}: has the labels of the task {task}; name another with --out")


def _check_key(external: ExternalConnection, table: ExternalTable, pair: TablePair) -> None:
    with external.reading() as connection:
        definition.check_key(connection, table, pair)


def _connect(workspace: Workspace, address: str, name: str, option: str) -> ExternalConnection:
    timeout_s = workspace.settings.statement_timeout_s
    try:
        database = external_databases.open_engine(
            address, statement_timeout_s=timeout_s, session=postgres_keys.SESSION, pool_pre_ping=True
        )
    except external_databases.OPEN_ERRORS as error:
        problem = f"the database cannot be opened ({external_databases.first_line(error)})"
        raise SettingsError(f"{option}: {problem}") from error
    if database.dialect.name != "sqlite":
        # rows must be read in the state in which a page was claimed or later, never in an older one
        database = database.execution_options(isolation_level="READ COMMITTED")
    return ExternalConnection(database, name)
