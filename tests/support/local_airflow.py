"""A complete Airflow with the project's DAGs: scheduler, API server and tasks are separate processes."""

from __future__ import annotations

import configparser
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet

from classifier import embedded_postgres
from classifier.local_airflow import rest_client, standalone
from classifier.local_airflow.standalone import AirflowConfig, StandaloneAirflow
from classifier.pipeline.database import upgrade
from classifier.settings import Settings
from classifier.store import connections
from classifier.workspace import Workspace
from tests.support.paths import ROOT
from tests.support.waiting import HANG_S

DAGS = {"ingest_articles", "retrain_classifier", "label_articles"}


@dataclass
class Running:
    """A running Airflow: its configuration, its API and the classifier's database."""

    config: AirflowConfig
    workspace: Workspace
    client: rest_client.RestClient

    def finished(self, run: rest_client.DagRun, *, within_s: float = HANG_S) -> rest_client.DagRun:
        """Return a run when it has ended."""
        deadline = time.monotonic() + within_s
        while (current := self.client.run(run)).state not in rest_client.FINISHED:
            assert time.monotonic() < deadline, f"{run} did not end: {self.client.tasks(run)}"
            time.sleep(0.5)
        return current


@contextmanager
def running(
    home: Path,
    *,
    encoder: Path,
    options: Mapping[str, Mapping[str, str]] | None = None,
    prepare: Callable[[AirflowConfig], AirflowConfig] = lambda config: config,
) -> Iterator[Running]:
    """Start Airflow on an embedded Postgres in a folder, which may hold the data of an earlier one.

    `options` are Airflow's own, by section; `prepare` may change the configuration before Airflow starts.
    """
    urls = embedded_postgres.start(home / "postgres", "articles", "airflow")
    engine = connections.connect(urls["articles"])
    workspace = Workspace(engine, Settings(home=home, _env_file=None))
    upgrade.upgrade_schema(workspace)
    port = standalone.free_port(0)
    config = prepare(AirflowConfig(ROOT, home, home / "models", encoder, urls["articles"], urls["airflow"], port))
    if options:
        configure(config.airflow_home, options)
    with (
        standalone.started(config, os.environ, home / "started.json") as airflow,
        rest_client.RestClient(config.address) as client,
    ):
        _wait_until(client.is_up, airflow)
        client.log_in(standalone.USER, standalone.password(config.passwords))
        client.create_pool("gpu", 1, "One training at a time")
        _wait_until(lambda: client.dags() >= DAGS, airflow)
        yield Running(config, workspace, client)
    engine.dispose()


def configure(airflow_home: Path, options: Mapping[str, Mapping[str, str]]) -> None:
    """Write Airflow's configuration, with the secrets that its processes share: each would generate its own."""
    shared = {
        "core": {"fernet_key": Fernet.generate_key().decode()},
        "api": {"secret_key": secrets.token_hex(32)},
        "api_auth": {"jwt_secret": secrets.token_hex(32)},
    }
    configuration = configparser.RawConfigParser()
    configuration.read_dict({**shared, **options})
    airflow_home.mkdir(parents=True, exist_ok=True)
    with (airflow_home / "airflow.cfg").open("w") as file:
        configuration.write(file)


def _wait_until(done: Callable[[], bool], airflow: StandaloneAirflow, *, within_s: float = HANG_S) -> None:
    deadline = time.monotonic() + within_s
    while not done():
        airflow.check()
        assert time.monotonic() < deadline, airflow.last_lines()
        time.sleep(0.5)
