"""Label a table or query of somebody else's database with the champion, into a table beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from classifier import registry
from classifier.articles import Model
from classifier.exceptions import SettingsError
from classifier.external_table import definition
from classifier.external_table.definition import ExternalTable
from classifier.external_table.statements import Pair
from classifier.external_table.worker import ExternalConnection, ExternalTableWorker
from classifier.inference import engines
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.model.artefact import Artefact
from classifier.pipeline.use_case import use_case
from classifier.store import external_databases
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExternalTableReport:
    """What one run did. `out` holds the labels; `seconds` and the rate leave out loading the model."""

    out: str
    model: str
    labelled: int
    dead_letters: int
    seconds: float
    engine: str

    @property
    def rows_per_second(self) -> float:
        """The rate, 0 where nothing was labelled."""
        return self.labelled / self.seconds if self.seconds and self.labelled else 0.0


@use_case
def label_external_table(
    workspace: Workspace,
    address: str,
    wanted: ExternalTable,
    *,
    refresh: bool = False,
    limit: int | None = None,
    page_size: int = 512,
    engine: engines.EngineName = "auto",
    on_start: Callable[[int], None] = lambda _: None,
    on_page: Callable[[int], None] = lambda _: None,
) -> ExternalTableReport:
    """Label every row that has no label of the champion, going on with the new one if it changes meanwhile.

    `address` is the URL of the database. With `refresh` all rows are read, for texts that have changed
    since. Rows that come in behind the page at work are left to the next run. `on_start` is told how many
    rows there are to look at, `on_page` how many each committed page had.

    Raises:
        NoChampionError: no model has been promoted yet.
        ArtefactError: the champion's files are not the registered ones.
        SettingsError: the URL cannot be used.
        SourceUnavailableError: their database does not answer.
        TableError: the table, its key or its text cannot be used, or the table of labels has another form.
    """
    champion, files = _champion(workspace)  # before anything is created
    theirs = _open(workspace, address, wanted)
    pair = _prepare(theirs, wanted)
    labelled = dead = 0
    seconds = 0.0
    while True:
        labeller = FineTunedClassifier(files.load()).labeller(engine, home=workspace.settings.home)
        worker = ExternalTableWorker(workspace.database, theirs, pair, champion, labeller, refresh, page_size)
        on_start(worker.waiting())
        rest = None if limit is None else limit - labelled - dead
        done = worker.work(limit=rest, on_page=on_page)
        labelled, dead, seconds = labelled + done.labelled, dead + done.dead, seconds + done.seconds
        if not done.replaced:
            return ExternalTableReport(
                pair.labels.fullname, champion.name, labelled, dead, seconds, labeller.engine_name
            )
        log.info("%s is no longer the champion: going on with the new one", champion.name)
        champion, files = _champion(workspace)


def _champion(workspace: Workspace) -> tuple[Model, Artefact]:
    with workspace.database.connect() as connection:
        champion = registry.champion(connection)
    return champion, registry.open_artefact(champion)


def _open(workspace: Workspace, address: str, wanted: ExternalTable) -> ExternalConnection:
    timeout_s = workspace.settings.statement_timeout_s
    try:
        database = external_databases.engine(address, statement_timeout_s=timeout_s, pool_pre_ping=True)
    except external_databases.CANNOT_OPEN as error:
        raise SettingsError(f"--url: the database cannot be opened ({external_databases.line(error)})") from error
    if database.dialect.name != "sqlite":
        # what is read after a page was taken has to be what is there then
        database = database.execution_options(isolation_level="READ COMMITTED")
    return ExternalConnection(database, wanted.name)


def _prepare(theirs: ExternalConnection, wanted: ExternalTable) -> Pair:
    """Check all that can be wrong, then make the table of labels."""
    with theirs.transaction() as connection:
        pair = definition.find_table(connection, wanted)
    readonly = {"postgresql_readonly": True} if theirs.database.dialect.name == "postgresql" else {}
    with theirs.transaction(**readonly) as connection:
        definition.check_key(connection, wanted, pair)
    with theirs.transaction() as connection:
        definition.create_labels(connection, pair)
    return pair
