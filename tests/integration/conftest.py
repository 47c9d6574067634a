"""Fixtures that several integration tests share."""

from __future__ import annotations

import sys

import pytest
from sqlalchemy import text

from benchmarks.support import lost_labels
from classifier.cli.app import main
from classifier.store import model_rows
from tests.support.predictions import INSERT_ARTICLES, INSERT_PREDICTIONS
from tests.support.synthetic import add_model, query


@pytest.fixture
def history(database):
    """Return a model that has labelled 20,000 articles, all of which wait in the queue again."""
    with database.begin() as connection:
        model = add_model(connection, "m")
        model_rows.make_champion(connection, model)
        connection.execute(text(INSERT_ARTICLES))
        connection.execute(text(INSERT_PREDICTIONS), {"model": model})
        connection.execute(
            text(
                "INSERT INTO labelling_queue (article_id, task_id, priority) SELECT id, (SELECT id FROM tasks), 0 "
                "FROM articles"
            )
        )
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    return model


@pytest.fixture
def labellings(database):
    """Return a function that counts articles by how often the same model labelled the same text: (times, articles)."""
    lost_labels.note_every_prediction(database)
    return lambda: query(
        database,
        "SELECT times, count(*) FROM (SELECT count(*) AS times FROM labellings "
        "GROUP BY article_id, model_id, revision) AS x GROUP BY 1 ORDER BY 1",
    )


@pytest.fixture
def command(workspace, monkeypatch, tmp_path, capsys):
    """Run a command, and return its exit code and its output."""
    url = workspace.database.url.render_as_string(hide_password=False)
    monkeypatch.setenv("CLASSIFIER_DATABASE_URL", url)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["classifier", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return ended.value.code or 0, printed.out, printed.err

    return run
