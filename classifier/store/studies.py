"""Studies of hyperparameters, in Optuna's own tables, in a schema of their own.

Optuna creates and migrates them during `classifier db upgrade`. Workers that open the same study share its trials.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.schema import CreateSchema

from classifier import advisory_locks
from classifier.exceptions import DatabaseNotMigratedError, DatabaseUnavailableError
from classifier.store import urls

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

SCHEMA = "optuna"

_STARTED = "started"


def upgrade(database: Engine) -> None:
    """Create Optuna's tables, or upgrade them to the installed version of Optuna.

    Raises:
        DatabaseNotMigratedError: the tables are newer than the installed Optuna.
    """
    with database.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.OPTUNA_STUDIES)))
        # another transaction, so that Optuna's connections see the schema while the lock is held
        with database.begin() as other:
            other.execute(CreateSchema(SCHEMA, if_not_exists=True))
        storage = _storage(database, skip_compatibility_check=True)
        current = storage.get_current_version()
        if current not in storage.get_all_versions():
            raise DatabaseNotMigratedError(
                f"Optuna's tables have version {current}, which is newer than Optuna; update Optuna"
            )
        if current != storage.get_head_version():
            storage.upgrade()
        storage.engine.dispose()


def open_study(
    database: Engine, name: str, *, first: dict[str, Any], attributes: dict[str, Any], heartbeat_s: int, grace_s: int
) -> Study:
    """Return the study of a name; if it does not exist, create it.

    A new study has `attributes`, and its first trial has the values `first`.

    A running trial sends a heartbeat every `heartbeat_s` seconds. A trial without a heartbeat for `grace_s` seconds was
    killed, and is retried at most three times.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # the caller reports progress
    with database.begin() as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.OPTUNA_STUDIES)))
        storage = _current(
            connection,
            heartbeat_interval=heartbeat_s,
            grace_period=grace_s,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3),
        )
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(
                constant_liar=True
            ),  # so that workers avoid values that other workers are trying
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        )
        if not study.trials:
            study.enqueue_trial(first)
            for key, value in attributes.items():
                study.set_user_attr(key, value)
    return study


def _current(connection: Connection, **options: Any) -> Any:
    """Return the storage, whose tables must exist: a worker's role need not be allowed to create them."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    message = "Optuna's tables {}; run: classifier db upgrade"
    if context.get_current_revision() is None:
        raise DatabaseNotMigratedError(message.format("are missing"))
    try:
        return _storage(connection.engine, skip_table_creation=True, **options)
    except RuntimeError as error:  # raised by Optuna for another version
        raise DatabaseNotMigratedError(message.format("have the version of another Optuna")) from error


def run_trial(study: Study, objective: Callable[[Trial], float], on_end: Callable[[Study, FrozenTrial], None]) -> None:
    """Run a trial; ignore its result if another worker has taken it over, since its heartbeat was missing."""
    import optuna

    ended = []

    def started(trial: Trial) -> float:
        value = 0.0  # ignored: used only if Optuna refused a report of the objective
        trial.set_user_attr(_STARTED, trial.number)  # a retried trial inherits the attributes of the first
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            value = objective(trial)
        ended.append(trial.number)
        return value

    try:
        study.optimize(started, n_trials=1, callbacks=[on_end])
    except (ValueError, AssertionError):  # raised by Optuna if the trial has an outcome already
        if not ended:
            raise
        log.warning("trial %d was taken over by another worker, since its heartbeat was missing", ended[0])


def count_trials(study: Study, *states: str) -> int:
    """Return the number of trials in these states of Optuna: COMPLETE, PRUNED, RUNNING, FAIL, WAITING."""
    return sum(trial.state.name in states for trial in study.get_trials(deepcopy=False))


def fail_stale_trials(study: Study, grace_s: int) -> None:
    """Fail the trials whose workers were killed, also before their first heartbeat, which Optuna does not detect."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    oldest = datetime.now() - timedelta(seconds=grace_s)  # noqa: DTZ005 - Optuna stores local times
    for trial in study.get_trials(deepcopy=False):
        started_at = trial.datetime_start
        if trial.state.name != "RUNNING" or started_at is None or trial.user_attrs.get(_STARTED) == trial.number:
            continue
        if started_at < oldest:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)


@contextmanager
def translate_errors(database: Engine) -> Iterator[None]:
    """Raise failures of Optuna's storage as errors with the database's address.

    Raises:
        DatabaseUnavailableError: the study cannot be read or written.
    """
    import optuna

    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        line = str(error.__cause__ or error).splitlines()[0]
        address = urls.redacted(database.url)
        raise DatabaseUnavailableError(
            f"{address}: cannot read or write the study ({line}); run the same command again to resume it"
        ) from error


def _storage(database: Engine, **options: Any) -> Any:
    from optuna.storages import RDBStorage

    # in the URL, since Optuna's migrations receive nothing else
    settings = urls.session_options(database.url, f"-c search_path={SCHEMA} -c timezone=UTC")
    session = {"options": settings, **urls.UTF8}
    url = database.url.update_query_dict(session).render_as_string(hide_password=False)
    return RDBStorage(
        url.replace("{", "{{").replace("}", "}}"),  # Optuna treats the URL as a template
        engine_kwargs={
            "pool_pre_ping": True,
            "hide_parameters": True,
            "connect_args": urls.missing_options(
                database.url, {"connect_timeout": 10, "application_name": "article-classifier tune"}
            ),
        },
        **options,
    )
