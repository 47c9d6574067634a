"""A whole Airflow and a browser that is logged in to it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, FrameLocator, Page, sync_playwright
from sqlalchemy import create_engine, make_url, text

from classifier import embedded
from classifier.demo import airflow_process, rest
from classifier.demo.airflow_process import Place
from classifier.pipeline import roles, upgrade
from classifier.settings import Settings
from classifier.store import connection
from classifier.workspace import Workspace
from tests.browser import planted

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
DAGS = {"ingest_articles", "retrain_classifier", "label_articles"}


@dataclass
class Started:
    """A running Airflow: its API, the classifier's database, and a browser.

    It opens the articles by the pipeline's role. `secrets` are all that it was given or made, by what they are for.
    """

    place: Place
    workspace: Workspace
    client: rest.Client
    browser: Browser
    secrets: dict[str, str]

    @contextmanager
    def logged_in(self, *, theme: str = "light", width: int = 1280, height: int = 860) -> Iterator[Page]:
        """Open a window as the administrator; the theme is the one that he chose in Airflow."""
        context = self.browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
        context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        page = context.new_page()
        page.goto(f"{self.place.address}/auth/login")
        page.fill("input[name=username]", airflow_process.USER)
        page.fill("input[name=password]", airflow_process.password(self.place.passwords))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: "/auth/login" not in url)
        yield page
        context.close()

    def classifier(self, page: Page, title: str = "Overview") -> FrameLocator:
        """Open the classifier's page in Airflow, and one of its parts."""
        page.goto(f"{self.place.address}/plugin/classifier")
        inside = frame(page)
        inside.get_by_role("link", name=title, exact=True).click()
        inside.locator("nav [aria-current]", has_text=title).wait_for()
        return inside

    def tab(self, page: Page, run: rest.Run) -> FrameLocator:
        """Open the classifier's tab on a run."""
        page.goto(f"{self.place.address}/dags/{run.dag}/runs/{run.id}")
        page.get_by_role("link", name="Classifier", exact=True).click()
        return frame(page)

    def settled(self, run: rest.Run, task: str, option: str | None) -> rest.Run:
        """Answer the question that a task asks, or let its time pass, and wait for the run's end.

        An answer within the second in which the asking process ends can reach the scheduler before that end does:
        it then takes the attempt for lost, and asks again.
        """
        answered = 0
        end = time.monotonic() + 400
        while (now := self.client.run(run)).state not in rest.FINISHED:
            assert time.monotonic() < end, f"{now} did not end: {self.client.tasks(run)}"
            asking = [
                one.attempt for one in self.client.tasks(run) if (one.name, one.state) == (task, "awaiting_input")
            ]
            if asking and asking[0] > answered:
                answered = asking[0]
                if option:
                    self.answer(run, task, option)
                else:
                    self.let_time_pass(run, task)
            time.sleep(1)
        return now

    def answer(self, run: rest.Run, task: str, option: str) -> None:
        """Answer the question that a task asks."""
        path = f"/api/v2/dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task}/-1/hitlDetails"
        self.client._call("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def let_time_pass(self, run: rest.Run, task: str) -> None:
        """Bring the question's time to its end: twelve hours are long for a test."""
        moved = text("UPDATE task_instance SET trigger_timeout = now() WHERE run_id = :run AND task_id = :task")
        engine = create_engine(self.place.airflow_url)
        with engine.begin() as opened:
            opened.execute(moved, {"run": run.id, "task": task})
        engine.dispose()

    def tried(self, run: rest.Run, task: str, count: int, *, within_s: float = 200) -> None:
        """Wait until each of a mapped task's instances has failed once."""
        end = time.monotonic() + within_s
        states = {"up_for_retry", "failed"}
        while sum(one.name == task and one.state in states for one in self.client.tasks(run)) < count:
            assert time.monotonic() < end, f"{run}: {self.client.tasks(run)}"
            time.sleep(1)

    def read(self, path: str) -> str:
        """Return what is shown at an address to who is logged in."""
        return self.client._call("GET", path).text

    def logs(self, run: rest.Run) -> list[str]:
        """Return the first logs of a run's tasks as Airflow shows them, errors and all."""
        path = f"/api/v2/dags/{run.dag}/dagRuns/{run.id}/taskInstances"
        tried = [one for one in self.client.tasks(run) if one.attempt]
        return [self.read(f"{path}/{one.name}/logs/1?full_content=true&map_index={one.index}") for one in tried]

    def finished(self, run: rest.Run, *, within_s: float = 400) -> rest.Run:
        """Wait for a run's end."""
        end = time.monotonic() + within_s
        while (now := self.client.run(run)).state not in rest.FINISHED:
            assert time.monotonic() < end, f"{run} did not end: {self.client.tasks(run)}"
            time.sleep(1)
        return now


def frame(page: Page) -> FrameLocator:
    """Return the classifier's part of a page of Airflow."""
    page.wait_for_selector("iframe[title=Classifier]")
    found = page.frame_locator("iframe[title=Classifier]")
    found.locator("main").wait_for()
    return found


@contextmanager
def started(home: Path, *, encoder: Path) -> Iterator[Started]:
    """Start Airflow on an embedded Postgres in a folder, which may hold an earlier one's."""
    urls = embedded.start(home / "postgres", "articles", "airflow")
    engine = connection.connect(urls["articles"])
    workspace = Workspace(engine, Settings(home=home, _env_file=None))
    upgrade.run(workspace)
    working = roles.run(workspace)[0].name
    given = planted.passwords()
    articles_url = _with(urls["articles"], username=working, password=given["the articles' database"])
    airflow_url = _with(urls["airflow"], password=given["Airflow's database"])
    port = airflow_process.free_port(0)
    place = Place(ROOT, home, home / "models", encoder, articles_url, airflow_url, port)
    planted.declare_sources(place.airflow_home, given)
    with (
        airflow_process.started(place, os.environ, home / "started.json") as airflow,
        rest.Client(place.address) as client,
        sync_playwright() as playwright,
    ):
        _until(client.is_up, airflow)
        client.log_in(airflow_process.USER, airflow_process.password(place.passwords))
        client.create_pool("gpu", 1, "One training at a time")
        _until(lambda: client.dags() >= DAGS, airflow)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Started(place, workspace, client, browser, given | planted.made_by_airflow(place))
        browser.close()
    engine.dispose()


def _with(url: str, **parts: str) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)


def _until(done, airflow, *, within_s: float = 300) -> None:
    end = time.monotonic() + within_s
    while not done():
        airflow.check()
        assert time.monotonic() < end, airflow.last_lines()
        time.sleep(0.5)
