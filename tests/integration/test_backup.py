"""Backup and restore from one server to another, with the commands of docs/how-to/back-up-and-restore.md.

`docker compose` is a script that runs the command of a container on this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from classifier.pipeline.database import roles, upgrade
from classifier.pipeline.labelling import queue
from classifier.pipeline.monitoring import status
from classifier.settings import Settings
from classifier.workspace import open_workspace
from tests.support.postgres import other_server, programs_of
from tests.support.synthetic import articles, ingest_file, make_champion, query, run, unlabelled, value

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "back-up-and-restore.md").read_text(encoding="utf-8")
BACK_UP, RESTORE = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
PASSWORD = "letters0"
CLASSIFIER = f"""#!{sys.executable}
from classifier.cli.app import main
main()
"""
DOCKER = """#!/bin/bash
# docker compose VERB [options] SERVICE COMMAND: of the containers' paths only the models' folder is used
set -euo pipefail
verb=$2; shift 2
while [[ ${1:-} == -* ]]; do shift; done
service=${1:-}; shift || true
case $verb in
    down) ;;
    up) if [[ -z $service ]]; then eval "$INIT"; fi ;;
    exec | run) exec "${@//\\/var\\/lib\\/classifier\\/models/$MODELS}" ;;
esac
"""


@pytest.fixture
def stack(tmp_path):
    """Start a stack's Postgres, with its databases; the end of the test stops all."""
    with ExitStack() as stopped:

        def started(name):
            folder = tmp_path / name
            folder.mkdir()
            server = other_server(folder, user="postgres", password=PASSWORD, version=18)
            url = stopped.enter_context(server)
            shell(tmp_path, url, f"psql -U postgres -X -q -v ON_ERROR_STOP=1 -f {ROOT}/docker/databases.sql")
            return url

        yield started


def shell(folder, url, lines):
    """Run lines where `docker compose` means this server, the folder's models, and the commands of init.sh."""
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "bin" / "docker").write_text(DOCKER, encoding="utf-8")
    (folder / "bin" / "docker").chmod(0o755)
    (folder / "bin" / "classifier").write_text(CLASSIFIER)
    (folder / "bin" / "classifier").chmod(0o755)
    init = re.findall(r"^classifier .*$", (ROOT / "docker" / "init.sh").read_text(encoding="utf-8"), re.MULTILINE)
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}:{programs_of(18)}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PGHOST": url.host,
        "PGPORT": str(url.port),
        "PGPASSWORD": PASSWORD,
        "AIRFLOW_DB_PASSWORD": PASSWORD,
        "ARTICLES_DB_PASSWORD": PASSWORD,
        "CLASSIFIER_DATABASE_URL": address(url, "articles"),
        "CLASSIFIER_PIPELINE_PASSWORD": PASSWORD,
        "CLASSIFIER_ANALYST_PASSWORD": PASSWORD,
        "CLASSIFIER_HOME": str(folder / "home"),
        "INIT": " && ".join(init),
        "MODELS": str(folder / "home" / "models"),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def address(url, user, database="articles"):
    return url.set(username=user, database=database).render_as_string(hide_password=False)


def opened(url, user, folder):
    secret = SecretStr(PASSWORD)
    passwords = {"pipeline_password": secret, "analyst_password": secret}
    return open_workspace(Settings(home=folder, database_url=address(url, user), _env_file=None, **passwords))


@pytest.mark.slow
def test_labelling_resumes_from_a_backup_restored_on_another_server(stack, tmp_path):
    home, first = tmp_path / "home", stack("first")
    owner = opened(first, "articles", home)
    upgrade.upgrade_schema(owner)
    roles.create_roles(owner)
    workspace = opened(first, "articles_pipeline", home)
    ingest_file(workspace, tmp_path / "x.csv", [*articles(40), *unlabelled(60, prefix="u")])
    model = make_champion(workspace, "m1", seed=1)
    assert queue.label_queue(workspace, limit=30, page_size=10).labelled == 30
    labels = "SELECT article_id, model_id, category_indices[1], predicted_at FROM predictions"
    kept = set(query(workspace.database, labels))
    airflow = create_engine(address(first, "airflow", "airflow"))
    run(airflow, "CREATE TABLE kept AS SELECT 7 AS number")
    airflow.dispose()

    with workspace.database.connect() as page:  # a page that a worker has open during the dump
        page.execute(text("DELETE FROM labelling_queue WHERE article_id % 2 = 0"))
        shell(tmp_path, first, BACK_UP)
        page.rollback()
    assert queue.label_queue(workspace, limit=20, page_size=10).labelled == 20, (
        "written after the dump, so the restored database lacks them"
    )
    for opened_workspace in (owner, workspace):
        opened_workspace.database.dispose()
    shutil.rmtree(home / "models")
    (home / "models").mkdir()

    second = stack("second")
    shell(tmp_path, second, RESTORE)
    workspace = opened(second, "articles_pipeline", home)
    report = status.read_status(workspace, exact=True)
    assert (report.champion.name, report.waiting) == ("m1", 30)
    done = queue.label_queue(workspace, page_size=10)
    assert (done.model, done.labelled, done.waiting) == (model.name, 30, 0)
    assert kept <= set(query(workspace.database, labels)), "predictions of the dump are not computed again"
    assert query(workspace.database, "SELECT count(*), count(DISTINCT article_id) FROM predictions") == [(60, 60)]

    before = value(workspace.database, "SELECT max(id) FROM articles")
    assert ingest_file(workspace, tmp_path / "y.csv", unlabelled(5, prefix="n")).new == 5
    assert value(workspace.database, "SELECT min(id) FROM articles WHERE source = 'y'") > before
    assert queue.label_queue(workspace).labelled == 5
    reader = opened(second, "articles_analyst", home)
    assert value(reader.database, "SELECT count(*) FROM article_labels WHERE label IS NOT NULL") == 105
    owner = create_engine(address(second, "airflow", "airflow"))
    assert value(owner, "SELECT number FROM kept") == 7
    for database in ("airflow", "articles"):
        allowed = "SELECT has_database_privilege('public', :name, 'CONNECT')"
        assert value(owner, allowed, name=database) is False
    for engine in (workspace.database, reader.database, owner):
        engine.dispose()
