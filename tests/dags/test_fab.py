"""The classifier's pages under FAB's auth manager, which has roles in Airflow's database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.docs import pages
from tests.support.paths import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("flask_appbuilder") is None, reason="the extra `fab` is not installed"),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """The status of each route for each role, from a process that has this auth manager."""
    from classifier import embedded_postgres
    from classifier.store import connections, schema

    home = tmp_path_factory.mktemp("fab")
    url = embedded_postgres.start(home / "postgres", "articles")["articles"]
    engine = connections.connect(url)
    with engine.connect() as opened:
        schema.upgrade(opened)
    engine.dispose()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "CLASSIFIER"))}
    environment |= {
        "PYTHONPATH": os.pathsep.join([
            str(ROOT),
            str(ROOT / "plugins"),
            *filter(None, [os.environ.get("PYTHONPATH")]),
        ]),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "CLASSIFIER_HOME": str(home),
        "CLASSIFIER_DATABASE_URL": url,
        "CLASSIFIER_PAGE_TIMEOUT_S": "300",
    }
    command = [sys.executable, "-m", "tests.support.fab_roles"]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    yield json.loads(done.stdout.splitlines()[-1])
    embedded_postgres.leave(home / "postgres")


def word(status):
    return {401: "log in", 403: "refused"}.get(status, "allowed")


def test_the_page_says_what_each_role_may(answers):
    page = pages.read("docs/how-to/adopt-in-an-existing-airflow.md").split("## Log-in and tokens")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")]
    documented = {row[0]: tuple(row[1:]) for row in rows[2:]}
    shown = {}
    for role, statuses in answers.items():
        reads = {
            word(status) for route, status in statuses.items() if route.startswith("GET") and "static" not in route
        }
        acts = {word(status) for route, status in statuses.items() if route.startswith("POST")}
        assert (len(reads), len(acts)) == (1, 1), (role, statuses)
        shown[role or "anonymous"] = (reads.pop(), acts.pop())
    assert shown == documented


def test_no_route_fails(answers):
    assert not [statuses for statuses in answers.values() if 500 in statuses.values()]
