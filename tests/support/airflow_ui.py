"""A whole Airflow, and a browser that is logged in to it."""

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
"""Seconds after which a question is answered."""

LOADED = """() => document.readyState === "complete"
    || new Promise((done) => addEventListener("load", () => done(true)))"""
"""JavaScript that returns when a page has loaded everything, including the script that binds keys."""


@dataclass
class Started(Running):
    """A running Airflow and a browser.

    It opens the articles' database with the pipeline's role. `secrets` are all of its secrets by their purpose.
    """

    browser: Browser
    secrets: dict[str, str]

    @contextmanager
    def logged_in(self, *, theme: str = "light", width: int = 1280, height: int = 860) -> Iterator[Page]:
        """Open a window as the administrator, who has chosen the theme in Airflow."""
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
        """Open one of the classifier's pages in Airflow."""
        page.goto(f"{self.config.address}/plugin/classifier")
        inside = frame(page)
        # the overview's link looks the same before and after; Airflow's own page navigates independently
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
        """Answer the question that a task asks, or let it time out, and wait for the run's end.

        If an answer reaches the scheduler before the asking process ends, the scheduler considers the attempt lost and
        asks again. So the answer is given some seconds after the question, as a user would.
        """
        asked, answered_attempt = time.monotonic(), 0
        end = time.monotonic() + HANG_S
        while (now := self.client.run(run)).state not in rest_client.FINISHED:
            assert time.monotonic() < end, f"{now} did not end: {self.client.tasks(run)}"
            asking = [
                row.attempt for row in self.client.tasks(run) if (row.name, row.state) == (task, "awaiting_input")
            ]
            if not asking or asking[0] == answered_attempt:
                asked = time.monotonic()
            elif time.monotonic() - asked > READING_S:
                answered_attempt = asking[0]
                if option:
                    self.answer(run, task, option)
                else:
                    self.let_time_pass(run, task)
            time.sleep(1)
        return now

    def answer(self, run: rest_client.DagRun, task: str, option: str) -> None:
        """Answer the question that a task asks."""
        path = f"/api/v2/dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task}/0/hitlDetails"
        self.client._call("PATCH", path, json={"chosen_options": [option], "params_input": {}})

    def let_time_pass(self, run: rest_client.DagRun, task: str) -> None:
        """Let the question time out at once, instead of after twelve hours."""
        moved = text("UPDATE task_instance SET trigger_timeout = now() WHERE run_id = :run AND task_id = :task")
        engine = create_engine(self.config.airflow_url)
        with engine.begin() as opened:
            opened.execute(moved, {"run": run.id, "task": task})
        engine.dispose()

    def tried(self, run: rest_client.DagRun, task: str, count: int, *, within_s: float = HANG_S) -> None:
        """Wait until each of a mapped task's instances has failed once."""
        end = time.monotonic() + within_s
        states = {"up_for_retry", "failed"}
        while sum(row.name == task and row.state in states for row in self.client.tasks(run)) < count:
            assert time.monotonic() < end, f"{run}: {self.client.tasks(run)}"
            time.sleep(1)

    def read(self, path: str) -> str:
        """Return the content of a path for the logged-in user."""
        return self.client._call("GET", path).text

    def logs(self, run: rest_client.DagRun) -> list[str]:
        """Return the logs of the first attempt of a run's tasks, as Airflow shows them."""
        return [self._log(run, task, 1) for task in self.client.tasks(run) if task.attempt]

    def why(self, run: rest_client.DagRun) -> str:
        """Return the states of a run's tasks, and the ends of the logs of failed attempts."""
        tasks = self.client.tasks(run)
        failed = [(task, attempt) for task in tasks for attempt in range(1, task.attempt + (task.state != "success"))]
        ends = [f"{task.name}, try {attempt}: {self._log(run, task, attempt)[-3000:]}" for task, attempt in failed]
        return "\n\n".join([str(tasks), *ends])

    def _log(self, run: rest_client.DagRun, task: rest_client.Task, attempt: int) -> str:
        path = f"/api/v2/dags/{run.dag}/dagRuns/{run.id}/taskInstances/{task.name}/logs/{attempt}"
        return self.read(f"{path}?full_content=true&map_index={task.index}")


def frame(page: Page) -> FrameLocator:
    """Return the classifier's frame in a page of Airflow."""
    page.wait_for_selector("iframe[title=Classifier]")
    inside = page.frame_locator("iframe[title=Classifier]")
    inside.locator("main").wait_for()
    return inside


def press(inside: FrameLocator, key: str) -> None:
    """Press a key in the classifier's frame, after it has bound its keys."""
    inside.locator("body").evaluate(LOADED)
    inside.owner.page.keyboard.press(key)


@contextmanager
def started(home: Path, *, encoder: Path) -> Iterator[Started]:
    """Start a whole Airflow, whose databases need passwords, and a browser."""
    passwords = planted_secrets.passwords()
    with (
        local_airflow.running(
            home, encoder=encoder, prepare=lambda config: _add_passwords(config, passwords)
        ) as running,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        secrets = passwords | planted_secrets.made_by_airflow(running.config)
        yield Started(running.config, running.workspace, running.client, browser, secrets)
        browser.close()


def _add_passwords(config: AirflowConfig, passwords: dict[str, str]) -> AirflowConfig:
    """Return the Airflow home with URLs of the pipeline's role and passwords; declare sources that need passwords."""
    owners = Workspace(connections.connect(config.articles_url), Settings(home=config.home, _env_file=None))
    pipeline_role = roles.create_roles(owners)[0].name
    owners.database.dispose()
    planted_secrets.declare_sources(config.airflow_home, passwords)
    articles_url = _with(config.articles_url, username=pipeline_role, password=passwords["the articles' database"])
    airflow_url = _with(config.airflow_url, password=passwords["Airflow's database"])
    return replace(config, articles_url=articles_url, airflow_url=airflow_url)


def _with(url: str, **parts: str) -> str:
    return make_url(url).set(**parts).render_as_string(hide_password=False)
