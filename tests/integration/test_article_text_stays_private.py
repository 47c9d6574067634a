"""The text of an article is in the database only: in no log, no error and no traceback."""

from __future__ import annotations

import logging
import traceback

import numpy as np
import pytest
from sqlalchemy.exc import DBAPIError

from classifier import registry
from classifier.exceptions import TooManyRejectedError
from classifier.labelling import worker
from classifier.pipeline.labelling import classification, explanation, queue
from classifier.pipeline.review import nearest_articles
from classifier.settings import Settings
from classifier.store import connections, copy, model_rows
from classifier.workspace import Workspace
from tests.support.synthetic import dump, ingest_file, run, unlabelled, value
from tests.support.tiny_models import make_artefact

SENTINEL = "xyzzy-sentinel"
TEXT = f'{SENTINEL} the "team" \\N goal'


@pytest.fixture
def verbose_workspace(database_url, tmp_path, caplog):
    """A workspace, created and used while all loggers have level DEBUG and SQLAlchemy logs every statement."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    engine = connections.connect(database_url.render_as_string(hide_password=False))
    yield Workspace(engine, Settings(home=tmp_path / "home", _env_file=None))
    engine.dispose()


@pytest.fixture
def rows():
    return [{**row, "text": f"{TEXT} {row['id']}"} for row in unlabelled(30)]


def output_of(caplog, capfd, *errors):
    """Everything that anybody may have read."""
    everything = [
        caplog.text,
        *(repr(vars(record)) for record in caplog.records),
        *capfd.readouterr(),
        *("".join(traceback.format_exception(error)) for error in errors),
        *map(repr, errors),
    ]
    return "\n".join(everything)


def test_in_a_successful_run(verbose_workspace, tmp_path, caplog, capfd, rows):
    ingest_file(verbose_workspace, tmp_path / "x.csv", rows)
    files = make_artefact(verbose_workspace.models / "m1")
    with verbose_workspace.database.begin() as connection:
        model = registry.register(connection, "m1", files, {})
        model_rows.make_champion(connection, model.id)
    assert queue.label_queue(verbose_workspace).labelled == 30
    output = output_of(caplog, capfd)
    assert "labelling_queue" in output, "SQLAlchemy did log its statements"
    assert SENTINEL not in output


def test_when_rows_are_rejected(verbose_workspace, tmp_path, caplog, capfd, rows):
    with pytest.raises(TooManyRejectedError) as caught:
        ingest_file(verbose_workspace, tmp_path / "x.csv", [{**row, "id": ""} for row in rows])
    assert value(verbose_workspace.database, "SELECT count(*) FROM rejected_rows WHERE row LIKE '%xyzzy%'") == 30
    assert SENTINEL not in output_of(caplog, capfd, caught.value)


def test_when_a_label_is_explained(verbose_workspace, tmp_path, caplog, capfd, rows):
    ingest_file(verbose_workspace, tmp_path / "x.csv", rows)
    files = make_artefact(verbose_workspace.models / "m1")
    with verbose_workspace.database.begin() as connection:
        model = registry.register(connection, "m1", files, {})
        model_rows.make_champion(connection, model.id)
    before = dump(verbose_workspace.database)
    stored = explanation.find_article(verbose_workspace, "x", rows[3]["id"])
    opened = classification.open_registered(verbose_workspace, None, engine="openvino")
    explained = explanation.explain_text(opened, stored.input_of(opened))
    assert SENTINEL in explained.text
    nearest_articles.find_nearest(verbose_workspace, explained.text, ["sport"], article_id=stored.id)
    output = output_of(caplog, capfd)
    assert "newest_annotated_texts" in output or "unnest" in output, "SQLAlchemy did log its statements"
    assert SENTINEL not in output
    assert dump(verbose_workspace.database) == before


CHECK = "ALTER TABLE articles ADD CONSTRAINT c CHECK (length(text) < 5)"
UNIQUE = (
    "ALTER TABLE articles ADD CONSTRAINT c UNIQUE (split, text); INSERT INTO articles "
    "(source, external_id, text, text_hash, fingerprint, split) SELECT 'y', split, text, '', '', split "
    f"FROM unnest(ARRAY['train', 'validation', 'test']) AS split, (VALUES ('{TEXT} a3')) AS x (text)"
)
NOT_NULL = (
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.source = NULL; RETURN NEW; END'; "
    "CREATE TRIGGER t BEFORE INSERT ON articles FOR EACH ROW EXECUTE FUNCTION f()"
)


@pytest.mark.parametrize("constraint", [CHECK, UNIQUE, NOT_NULL], ids=["check", "unique", "not null"])
def test_when_the_database_refuses_an_article(verbose_workspace, tmp_path, caplog, capfd, rows, constraint):
    run(verbose_workspace.database, constraint)
    caplog.clear()
    with pytest.raises(DBAPIError) as caught:
        ingest_file(verbose_workspace, tmp_path / "x.csv", rows)
    output = output_of(caplog, capfd, caught.value)
    assert "violates" in output
    assert SENTINEL not in output


def test_when_the_database_refuses_a_rejected_row(verbose_workspace, tmp_path, caplog, capfd, rows):
    run(verbose_workspace.database, "ALTER TABLE rejected_rows ADD CONSTRAINT c CHECK (length(row) < 5)")
    rows[3]["id"] = ""
    with pytest.raises(DBAPIError) as caught:
        ingest_file(verbose_workspace, tmp_path / "x.csv", rows)
    assert SENTINEL not in output_of(caplog, capfd, caught.value)


def test_when_copying_fails(verbose_workspace, tmp_path, caplog, capfd, rows, monkeypatch):
    monkeypatch.setattr(copy, "sql", lambda _: "COPY staged_articles (source, text) FROM STDIN WITH (FORMAT csv)")
    with pytest.raises(Exception, match="extra data") as caught:
        ingest_file(verbose_workspace, tmp_path / "x.csv", rows)
    assert SENTINEL not in output_of(caplog, capfd, caught.value)


def test_when_the_model_quotes_the_text_it_cannot_label(verbose_workspace, tmp_path, caplog, capfd, rows):
    ingest_file(verbose_workspace, tmp_path / "x.csv", rows)
    with verbose_workspace.database.begin() as connection:
        model = registry.register(connection, "m1", make_artefact(verbose_workspace.models / "m1"), {})
        model_rows.make_champion(connection, model.id)

    class Quoting:
        def prepare(self, texts):
            return texts

        def run(self, texts):
            if any(text.endswith("a7") for text in texts):
                raise ValueError(f"cannot read {texts}")
            return np.full((len(texts), 3), 1 / 3, dtype=np.float32)

    done = worker.label_pages(verbose_workspace.database, model, Quoting())
    assert (done.labelled, done.dead) == (29, 1)
    assert value(verbose_workspace.database, "SELECT reason FROM dead_letters") is not None
    output = output_of(caplog, capfd)
    assert "cannot be labelled" in output
    assert SENTINEL not in output
