"""A real Airflow on a metadata database of its own, made before anything imports airflow."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.support.page_routes import ROLES
from tests.support.paths import ROOT
from tests.support.waiting import HANG_S, wait_for

OURS = {"Sec-Fetch-Site": "same-origin"}
HOME = Path(tempfile.mkdtemp(prefix="airflow-"))

os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME}/airflow.db",
)
if str(ROOT / "plugins") not in sys.path:
    sys.path.append(str(ROOT / "plugins"))  # as Airflow does when it starts


@pytest.fixture(scope="session")
def dagbag():
    """The project's DAGs, parsed as the dag-processor parses them."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.utils import db

    db.initdb()
    return DagBag(dag_folder=str(ROOT / "dags"), bundle_name="dags-folder")


@pytest.fixture(scope="session")
def default_params(dagbag):
    """Each DAG's declared parameters: `dag.test` writes a run's own into the DAG."""
    return {name: dag.params.dump() for name, dag in dagbag.dags.items()}


@pytest.fixture(scope="session")
def articles_url(tmp_path_factory):
    """A migrated database of articles."""
    from classifier import embedded_postgres
    from classifier.store import connections, schema

    directory = tmp_path_factory.mktemp("dags") / "postgres"
    url = embedded_postgres.start(directory, "articles")["articles"]
    engine = connections.connect(url)
    with engine.connect() as opened:
        schema.upgrade(opened)
    engine.dispose()
    yield url
    embedded_postgres.leave(directory)


@pytest.fixture
def articles_connection(articles_url, monkeypatch):
    """The Airflow connection `articles`, as the environment gives it, on a socket."""
    url = make_url(articles_url)
    parts = {"conn_type": "postgres", "host": url.query["host"], "login": url.username, "schema": url.database}
    monkeypatch.setenv("AIRFLOW_CONN_ARTICLES", json.dumps(parts))
    return articles_url


@pytest.fixture(scope="session")
def airflow(dagbag):
    """Airflow's own application, with the plugin as Airflow loads it, and a token a role."""
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    app = create_app(apps="core")
    tokens = {
        role: get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=f"ada the {role}", role=role))
        for role in ROLES[1:]
    }
    with TestClient(app, base_url="http://airflow") as client:
        yield client, tokens


@pytest.fixture(scope="session")
def page_app(airflow):
    """The page's own application, that Airflow has mounted.

    Not the plugin's: Airflow loads that again after runs in this process, as a module with an application of its own.
    """
    client, _ = airflow
    mounted = next(route.app for route in client.app.routes if getattr(route, "path", None) == "/classifier")
    return mounted.application


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(airflow):
    """The address at which Airflow's application answers a browser."""
    import uvicorn

    client, _ = airflow
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(client.app, host="127.0.0.1", port=port, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def ask(airflow, page_app, monkeypatch, request):
    """Send requests as a user of a role; the pages use the test's database, and their cache is empty."""
    from classifier_ui import reading_cache, workspaces

    client, tokens = airflow

    def forget():
        workspaces.close()
        # a test waits longer than the few seconds of a request, since the machine may be busy
        page_app.state.cache = reading_cache.Cache(timeout_s=HANG_S)

    def ask_page(path="/", role="viewer", *, method="GET", headers=OURS, **more):
        cookies = {"Cookie": f"_token={tokens[role]}"} if role != "anonymous" else {}
        return client.request(
            method, f"/classifier{path}", headers={**headers, **cookies}, follow_redirects=False, **more
        )

    monkeypatch.setenv("CLASSIFIER_PAGE_TIMEOUT_S", "300")
    if "workspace" in request.fixturenames:
        url = request.getfixturevalue("workspace").database.url
        parts = {"conn_type": "postgres", "host": url.query["host"], "login": url.username, "schema": url.database}
        monkeypatch.setenv("AIRFLOW_CONN_ARTICLES", json.dumps(parts))
        monkeypatch.setenv("CLASSIFIER_HOME", str(request.getfixturevalue("workspace").settings.home))
    forget()
    yield ask_page
    forget()
