"""A whole Airflow and a browser that is logged in to it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from playwright.sync_api import Browser, FrameLocator, Page, sync_playwright
from sqlalchemy import create_engine, make_url, text

from classifier.local_airflow import rest_client, standalone
from classifier.local_airflow.standalone import AirflowConfig
from classifier.pipeline.database import roles
from classifier.settings import Settings
from classifier.store import connections
from classifier.workspace import Workspace
from tests.support import local_airflow, planted_secrets
from tests.support.local_airflow import Running
from tests.support.waiting import HANG_S

CHROMIUM = shutil.which("chromium")

READING_S = 6.0
"""How long a person reads a question at least."""

LOADED = """() => document.readyState === "complete"
    || new Promise((done) => addEventListener("load", () => done(true)))"""
"""JavaScript that returns once a page has all its parts, those that keys are bound by too."""


@dataclass
class Started(Running):
    """A running Airflow and a browser.

    It opens the articles by the pipeline's role. `secrets` are all that it was given or made, by what they are for.
    """

    browser: Browser
    secrets: dict[str, str]

    @contextmanager
    def logged_in(self, *, theme: str = "light", width: int = 1280, height: int = 860) -> Iterator[Page]:
        """Open a window as the administrator; the theme is the one that he chose in Airflow."""
        context = self.browser.new_context(viewport={"width": width, "height": height}, color_scheme="light")
        context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        context.set_default_timeout(1000 * HANG_S)
        page = context.new_page()
        page.goto(f"{self.config.address}/auth/login")
        page.fill("input[name=username]", standalone.USER)
        page.fill("input[name=password]", standalone.password(self.config.passwords))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: "/auth/login" not in url)
        yield page
        context.close()

    def classifier(self, page: Page, title: str = "Overview") -> FrameLocator:
        """Open the classifier's page in Airflow, and one of its parts."""
        page.goto(f"{self.config.address}/plugin/classifier")
        inside = frame(page)
        # The overview's link looks the same before and after; Airflow's own page moves on its own account.
        with page.expect_event("framenavigated", lambda moved: moved != page.main_frame):
            inside.get_by_role("link", name=title, exact=True).click()
        inside.locator("nav [aria-current]", has_text=title).wait_for()
        return inside

    def tab(self, page: Page, run: rest_client.DagRun) -> FrameLocator:
        """Open the classifier's tab on a run."""
        page.goto(f"{self.config.address}/dags/{run.dag}/runs/{run.id}")
        page.get_by_role("link", name="Classifier", exact=True).click()
        return frame(page)

    def settled(self, run: rest_client.DagRun, task: str, option: str | None) -> rest_client.DagRun:
        """Answer the question that a task asks, or let its time pass, and wait for the run's end.

        An answer can reach the scheduler before the end of the process that asked does: it then takes the attempt for
        lost, and asks again. So the answer is given as a person gives it, some seconds after the question.
        """
        asked, answered = time.monotonic(), 0
        end = time.monotonic() + HANG_S
        while (now := self.client.run(run)).state not in rest_client.FINISHED:
            assert time.monotonic() < end, f"{now} did not end: {self.client.tasks(run)}"
            asking = [
                one.attempt for one in self.client.tasks(run) if (one.name, one.state) == (task, "awaiting_input")
            ]
            if not asking or asking[0] == answered:
                asked = time.monotonic()
            elif time.monotonic() - asked > READING_S:
                answered = asking[0]
                if option:
                    self.answer(run, task, option)
                else:
                    self.let_time_pass(run, task)
            time.sleep(1)
        return now

    def answer(self, run: rest_client.DagRun, task: str, option: str) -> None:
        """Answer the question that a task asks."""
        path = f"/api/v2/dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task}/-1/hitlDetails"
        self.client._call("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def let_time_pass(self, run: rest_client.DagRun, task: str) -> None:
        """Bring the question's time to its end: twelve hours are long for a test."""
        moved = text("UPDATE task_instance SET trigger_timeout = now() WHERE run_id = :run AND task_id = :task")
        engine = create_engine(self.config.airflow_url)
        with engine.begin() as opened:
            opened.execute(moved, {"run": run.id, "task": task})
        engine.dispose()

    def tried(self, run: rest_client.DagRun, task: str, count: int, *, within_s: float = HANG_S) -> None:
        """Wait until each of a mapped task's instances has failed once."""
        end = time.monotonic() + within_s
        states = {"up_for_retry", "failed"}
        while sum(one.name == task and one.state in states for one in self.client.tasks(run)) < count:
            assert time.monotonic() < end, f"{run}: {self.client.tasks(run)}"
            time.sleep(1)

    def read(self, path: str) -> str:
        """Return what is shown at an address to who is logged in."""
        return self.client._call("GET", path).text

    def logs(self, run: rest_client.DagRun) -> list[str]:
        """Return the first logs of a run's tasks as Airflow shows them, errors and all."""
        return [self._log(run, one, 1) for one in self.client.tasks(run) if one.attempt]

    def why(self, run: rest_client.DagRun) -> str:
        """Return how a run's tasks stand, and the ends of the logs of those that were tried in vain."""
        tasks = self.client.tasks(run)
        tried = [(one, attempt) for one in tasks for attempt in range(1, one.attempt + (one.state != "success"))]
        ends = [f"{one.name}, try {attempt}: {self._log(run, one, attempt)[-3000:]}" for one, attempt in tried]
        return "\n\n".join([str(tasks), *ends])

    def _log(self, run: rest_client.DagRun, task: rest_client.Task, attempt: int) -> str:
        path = f"/api/v2/dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task.name}/logs/{attempt}"
        return self.read(f"{path}?full_content=true&map_index={task.index}")


def frame(page: Page) -> FrameLocator:
    """Return the classifier's part of a page of Airflow."""
    page.wait_for_selector("iframe[title=Classifier]")
    found = page.frame_locator("iframe[title=Classifier]")
    found.locator("main").wait_for()
    return found


def press(inside: FrameLocator, key: str) -> None:
    """Press a key on the classifier's part of a page, once it listens to keys."""
    inside.locator("body").evaluate(LOADED)
    inside.owner.page.keyboard.press(key)


@contextmanager
def started(home: Path, *, encoder: Path) -> Iterator[Started]:
    """Start a whole Airflow, whose databases ask for passwords, and a browser."""
    given = planted_secrets.passwords()
    with (
        local_airflow.running(home, encoder=encoder, prepare=lambda place: _guarded(place, given)) as found,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        known = given | planted_secrets.made_by_airflow(found.config)
        yield Started(found.config, found.workspace, found.client, browser, known)
        browser.close()


def _guarded(place: AirflowConfig, given: dict[str, str]) -> AirflowConfig:
    """Return the place with addresses of the pipeline's role and with passwords, and sources that need some."""
    owners = Workspace(connections.connect(place.articles_url), Settings(home=place.home, _env_file=None))
    working = roles.create_roles(owners)[0].name
    owners.database.dispose()
    planted_secrets.declare_sources(place.airflow_home, given)
    articles_url = _with(place.articles_url, username=working, password=given["the articles' database"])
    airflow_url = _with(place.airflow_url, password=given["Airflow's database"])
    return replace(place, articles_url=articles_url, airflow_url=airflow_url)


def _with(url: str, **parts: str) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)
