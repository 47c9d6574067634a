"""Where searches for hyper-parameters are kept: Optuna's own tables, in a schema of their own.

Optuna makes and migrates them, when ours are migrated. All workers that open the same study share its trials.
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

_BEGUN = "begun"


def upgrade(database: Engine) -> None:
    """Create Optuna's tables, or bring them to the version of the Optuna that is installed.

    Raises:
        DatabaseNotMigratedError: they are of a newer one.
    """
    with database.begin() as connection:
        connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.OPTUNA_STUDIES)))
        with database.begin() as other:  # seen by Optuna's connections, while the lock is held
            other.execute(CreateSchema(SCHEMA, if_not_exists=True))
        storage = _storage(database, skip_compatibility_check=True)
        current = storage.get_current_version()
        if current not in storage.get_all_versions():
            raise DatabaseNotMigratedError(f"Optuna's tables have version {current}, newer than Optuna: update Optuna")
        if current != storage.get_head_version():
            storage.upgrade()
        storage.engine.dispose()


def open_study(
    database: Engine, name: str, *, first: dict[str, Any], described: dict[str, Any], beat_s: int, grace_s: int
) -> Study:
    """Return the study of a name, made where it is not there yet, with the values `first` to be tried first.

    A running trial tells every `beat_s` seconds that it lives; one that was not heard of for `grace_s` was killed,
    and is tried again, three times at most. `described` is kept with the study.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it would tell, the caller tells
    with database.begin() as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        connection.execute(select(func.pg_advisory_xact_lock(advisory_locks.OPTUNA_STUDIES)))
        storage = _current(
            connection,
            heartbeat_interval=beat_s,
            grace_period=grace_s,
            heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3),
        )
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(constant_liar=True),  # workers keep off what others are trying
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        )
        if not study.trials:
            study.enqueue_trial(first)
            for key, value in described.items():
                study.set_user_attr(key, value)
    return study


def _current(connection: Connection, **options: Any) -> Any:
    """Return the storage, whose tables have to be there: who searches need not be allowed to make them."""
    context = MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA})
    message = "the tables of the search are {}; run: classifier db upgrade"
    if context.get_current_revision() is None:
        raise DatabaseNotMigratedError(message.format("not there yet"))
    try:
        return _storage(connection.engine, skip_table_creation=True, **options)
    except RuntimeError as error:  # what Optuna raises where they are of another version
        raise DatabaseNotMigratedError(message.format("of another version of Optuna")) from error


def run_trial(study: Study, objective: Callable[[Trial], float], on_end: Callable[[Study, FrozenTrial], None]) -> None:
    """Run a trial; one that was given up meanwhile, since nothing was heard of it, is left to whoever has it now."""
    import optuna

    ended = []

    def begun(trial: Trial) -> float:
        value = 0.0  # that nobody takes, where even a step's report was refused
        trial.set_user_attr(_BEGUN, trial.number)  # one that is tried again inherits those of the first
        with suppress(optuna.exceptions.UpdateFinishedTrialError):
            value = objective(trial)
        ended.append(trial.number)
        return value

    try:
        study.optimize(begun, n_trials=1, callbacks=[on_end])
    except (ValueError, AssertionError):  # what Optuna raises where a trial has an outcome already
        if not ended:
            raise
        log.warning("trial %d was taken over by another worker: this one had not been heard of", ended[0])


def count_trials(study: Study, *states: str) -> int:
    """Count the trials in some states, by Optuna's names: COMPLETE, PRUNED, RUNNING, FAIL, WAITING."""
    return sum(trial.state.name in states for trial in study.get_trials(deepcopy=False))


def fail_stale_trials(study: Study, grace_s: int) -> None:
    """Give up the trials whose workers were killed; Optuna does not see those that died before their first sign."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    oldest = datetime.now() - timedelta(seconds=grace_s)  # noqa: DTZ005 - as Optuna notes it
    for trial in study.get_trials(deepcopy=False):
        claimed = trial.datetime_start
        if trial.state.name != "RUNNING" or claimed is None or trial.user_attrs.get(_BEGUN) == trial.number:
            continue
        if claimed < oldest:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)


@contextmanager
def translate_errors(database: Engine) -> Iterator[None]:
    """Turn a failure of Optuna's tables into the user's error, with the database's address in it.

    Raises:
        DatabaseUnavailableError: they cannot be read or written.
    """
    import optuna

    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        line = str(error.__cause__ or error).splitlines()[0]
        address = urls.redacted(database.url)
        raise DatabaseUnavailableError(
            f"{address}: the study cannot be read or written ({line}); the same command goes on with it"
        ) from error


def _storage(database: Engine, **options: Any) -> Any:
    from optuna.storages import RDBStorage

    # in the URL, since it alone is what Optuna's migrations are given
    session = {"options": urls.session_options(database.url, f"-c search_path={SCHEMA} -c timezone=UTC")}
    url = database.url.update_query_dict(session).render_as_string(hide_password=False)
    return RDBStorage(
        url.replace("{", "{{").replace("}", "}}"),  # it takes the URL for a template
        engine_kwargs={
            "pool_pre_ping": True,
            "hide_parameters": True,
            "connect_args": urls.missing_options(
                database.url, {"connect_timeout": 10, "application_name": "article-classifier tune"}
            ),
        },
        **options,
    )
