"""A whole Airflow with the project's DAGs: scheduler, API server and tasks in processes of their own."""

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
from classifier.local_airflow.standalone import AirflowHome
from classifier.pipeline.database import upgrade
from classifier.settings import Settings
from classifier.store import connections
from classifier.workspace import Workspace
from tests.support.waiting import HANG_S

ROOT = Path(__file__).parents[2]
DAGS = {"ingest_articles", "retrain_classifier", "label_articles"}


@dataclass
class Running:
    """A running Airflow: its API and the classifier's database."""

    place: AirflowHome
    workspace: Workspace
    client: rest_client.RestClient

    def finished(self, run: rest_client.DagRun, *, within_s: float = HANG_S) -> rest_client.DagRun:
        """Wait for a run's end."""
        end = time.monotonic() + within_s
        while (now := self.client.run(run)).state not in rest_client.FINISHED:
            assert time.monotonic() < end, f"{run} did not end: {self.client.tasks(run)}"
            time.sleep(1)
        return now


@contextmanager
def running(
    home: Path,
    *,
    encoder: Path,
    options: Mapping[str, Mapping[str, str]] | None = None,
    prepare: Callable[[AirflowHome], AirflowHome] = lambda place: place,
) -> Iterator[Running]:
    """Start Airflow on an embedded Postgres in a folder, which may hold an earlier one's.

    `options` of its configuration are by section; `prepare` may change the place before anything starts there.
    """
    urls = embedded_postgres.start(home / "postgres", "articles", "airflow")
    engine = connections.connect(urls["articles"])
    workspace = Workspace(engine, Settings(home=home, _env_file=None))
    upgrade.upgrade_schema(workspace)
    port = standalone.free_port(0)
    place = prepare(AirflowHome(ROOT, home, home / "models", encoder, urls["articles"], urls["airflow"], port))
    if options:
        configure(place.airflow_home, options)
    with (
        standalone.started(place, os.environ, home / "started.json") as airflow,
        rest_client.RestClient(place.address) as client,
    ):
        _until(client.is_up, airflow)
        client.log_in(standalone.USER, standalone.password(place.passwords))
        client.create_pool("gpu", 1, "One training at a time")
        _until(lambda: client.dags() >= DAGS, airflow)
        yield Running(place, workspace, client)
    engine.dispose()


def configure(airflow_home: Path, options: Mapping[str, Mapping[str, str]]) -> None:
    """Write Airflow's configuration, with the secrets that its processes share: else each would draw its own."""
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


def _until(done, airflow, *, within_s: float = HANG_S) -> None:
    end = time.monotonic() + within_s
    while not done():
        airflow.check()
        assert time.monotonic() < end, airflow.last_lines()
        time.sleep(0.5)
