"""The pipeline's role suffices for the pipeline and changes no table; the analyst's role reads labels, but no texts.

On a server that requires passwords, created by the script of the stack.
"""

from __future__ import annotations

import csv
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from classifier.exceptions import DatabaseRightsError, DatabaseUnavailableError
from classifier.external_table.definition import ExternalTable
from classifier.pipeline.database import roles, upgrade
from classifier.pipeline.erasure import erase
from classifier.pipeline.erasure.selection import Selection
from classifier.pipeline.ingest import rejected_rows, undo
from classifier.pipeline.labelling import dead_letters, external_table, queue
from classifier.pipeline.monitoring import drift_check, status
from classifier.pipeline.promotion import decisions, evaluation, html_report, pruning
from classifier.pipeline.review import annotation, retraction, review_queue, sheets
from classifier.pipeline.training import candidate, tuning
from classifier.settings import Settings
from classifier.store.annotation_rows import AnnotationFilter
from classifier.training.recipes import Recipe
from classifier.workspace import open_workspace
from tests.support.postgres import other_server, programs_of
from tests.support.synthetic import LENIENT, articles, ingest_file, query, run, unlabelled, value
from tests.support.tiny_models import make_encoder

SCRIPT = Path(__file__).parents[2] / "docker" / "databases.sql"
PASSWORDS = {name: f"{name}-pass'word %41 @:/" for name in ("postgres", "airflow", "articles", "pipeline", "analyst")}
SENTINEL = "xyzzy-sentinel"
RECIPE = Recipe(epochs=1, batch_size=8, learning_rate=0.01, max_length=16, dtype="float32")
REFUSED = "42501"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """The stack's Postgres: its superuser, two databases with their owners, and nothing else."""
    folder, password = tmp_path_factory.mktemp("pg"), PASSWORDS["postgres"]
    with other_server(folder, user="postgres", password=password, version=18) as url:
        environment = {
            **os.environ,
            "PGPASSWORD": password,
            "AIRFLOW_DB_PASSWORD": PASSWORDS["airflow"],
            "ARTICLES_DB_PASSWORD": PASSWORDS["articles"],
        }
        where = ("-h", url.host, "-p", str(url.port), "-U", url.username)
        psql = [programs_of(18) / "psql", *where, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", SCRIPT]
        subprocess.run(psql, env=environment, check=True)
        yield url


@pytest.fixture(scope="module")
def opened(stack, tmp_path_factory):
    """Return a function that opens the articles' database as a role."""
    home, engines = tmp_path_factory.mktemp("home"), []

    def open_as(user, password, **settings):
        url = stack.set(username=user, password=password, database="articles").render_as_string(hide_password=False)
        workspace = open_workspace(Settings(home=home, database_url=url, _env_file=None, **settings))
        engines.append(workspace.database)
        return workspace

    yield open_as
    for engine in engines:
        engine.dispose()


@pytest.fixture(scope="module")
def owner(opened):
    """The owner, who has done what `init` does."""
    passwords = {f"{purpose}_password": SecretStr(PASSWORDS[purpose]) for purpose in ("pipeline", "analyst")}
    workspace = opened("articles", PASSWORDS["articles"], **passwords)
    upgrade.upgrade_schema(workspace)
    created = roles.create_roles(workspace)
    assert [(role.name, role.created, role.password_set) for role in created] == [
        ("articles_pipeline", True, True),
        ("articles_analyst", True, True),
    ]
    return workspace


@pytest.fixture(scope="module")
def pipeline(owner, opened):
    return opened("articles_pipeline", PASSWORDS["pipeline"])


@pytest.fixture(scope="module")
def analyst(owner, opened):
    return opened("articles_analyst", PASSWORDS["analyst"])


def refusal(database, statement):
    """Return why a statement is refused, None where it is not."""
    with database.connect() as connection:
        try:
            connection.execute(text(statement))
        except DBAPIError as error:
            return error.orig.pgcode
    return None


@pytest.fixture(scope="module")
def worked(pipeline, tmp_path_factory):
    """The main path, as the pipeline's role, from the first article to the last label."""
    folder = tmp_path_factory.mktemp("files")
    rows = [{**row, "text": f"{row['text']} {SENTINEL}"} for row in [*articles(240), *unlabelled(60, prefix="u")]]
    assert ingest_file(pipeline, folder / "x.csv", rows, source="news").new == 300
    changed = [{**row, "text": f"{row['text']} again"} for row in rows[-20:]]
    bad = {"id": "", "text": f"{SENTINEL} without an id", "category": ""}
    taken = ingest_file(pipeline, folder / "y.csv", [*changed, bad], source="news", max_rejected=1)
    assert (taken.changed, taken.rejected) == (20, 1)
    encoder = str(make_encoder(folder / "encoder"))
    names = []
    for seed in (1, 2):
        names.append(candidate.train(pipeline, replace(RECIPE, seed=seed), encoder_name=encoder).model)
        assert evaluation.evaluate(pipeline, names[-1]).metrics.articles > 0
        assert decisions.promote_if_better(pipeline, names[-1], margins=LENIENT).promoted
        assert queue.label_queue(pipeline, page_size=16).labelled > 0
    return folder, encoder, names


@pytest.mark.slow
def test_the_pipelines_role_suffices_for_the_main_path(pipeline, worked):
    folder, _, names = worked
    decisions.roll_back(pipeline, reason="of the test")
    assert pruning.prune(pipeline, keep=0, yes=True) is not None
    report = status.read_status(pipeline, exact=True)
    assert (report.champion.name, report.waiting) == (names[0], 0)
    assert sum(report.labels.values()) == 300
    drift_check.check_drift(pipeline)
    assert Path(html_report.write_report(pipeline).page).exists()
    assert rejected_rows.retry_rejected(pipeline, {}, lambda _: "") is not None
    assert dead_letters.retry_dead_letters(pipeline).dead_letters == 0

    assert sum(review_queue.fill_queue(pipeline, number=4, audit=2).added.values()) > 0
    sheets.export_sheet(pipeline, folder / "sheet.csv")
    with (folder / "sheet.csv").open(encoding="utf-8-sig", newline="") as file:
        sheet = list(csv.DictReader(file))
    sheet[0] |= {"category": "sport", "annotator": "ann"}
    with (folder / "sheet.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(sheet[0]))
        writer.writeheader()
        writer.writerows(sheet)
    assert sheets.import_sheet(pipeline, folder / "sheet.csv").new == 1
    question = annotation.next_question(pipeline, "ben")
    asked = question.article
    annotation.save_answer(pipeline, asked.id, asked.revision, ["tech"], annotator="ben")

    theirs = create_engine(f"sqlite:///{folder}/cms.db")
    run(theirs, "CREATE TABLE news (id integer PRIMARY KEY, body text)")
    run(theirs, "INSERT INTO news (body) VALUES ('the team'), ('the bank')")
    theirs.dispose()
    table = ExternalTable("id", "body", table="news")
    assert external_table.label_external_table(pipeline, f"sqlite:///{folder}/cms.db", table).labelled == 2


@pytest.mark.slow
def test_tuning_finds_its_tables_created(pipeline, worked, tmp_path):
    _, encoder, _ = worked
    assert tuning.tune(pipeline, RECIPE, trials=1, encoder_name=encoder, out=tmp_path / "best.toml").trials == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE articles",
        "DROP VIEW article_labels",
        "DROP SCHEMA optuna CASCADE",
        "DROP DATABASE articles",
        "ALTER TABLE articles ADD COLUMN x int",
        "ALTER TABLE articles DISABLE TRIGGER ALL",
        "ALTER ROLE articles_analyst PASSWORD 'x'",
        "TRUNCATE labelling_queue",
        "CREATE TABLE mine (id int)",
        "CREATE TABLE optuna.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE INDEX mine ON articles (source)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE ROLE mine",
        "GRANT SELECT ON articles TO PUBLIC",
        "UPDATE alembic_version SET version_num = '0001'",
        "UPDATE annotations SET categories = '{x}'",
        "DELETE FROM annotations",
        "UPDATE annotations SET annotator = 'x', retracted_by = 'x'",
        "DELETE FROM erased_articles",
        "UPDATE erasures SET articles = 0",
        "UPDATE erasure_key SET key = ''",
        "UPDATE promotions SET reason = 'x'",
        "DELETE FROM articles",
        "COPY articles TO PROGRAM 'cat'",
        "SET ROLE articles",
    ],
)
def test_the_pipelines_role_cannot_change_tables_or_history(pipeline, owner, statement):
    database = pipeline.database
    if statement.startswith("DROP DATABASE"):
        database = database.execution_options(isolation_level="AUTOCOMMIT")
    if statement.startswith("GRANT"):  # Postgres warns where nothing can be granted
        refusal(database, statement)
        assert value(owner.database, "SELECT has_table_privilege('articles_analyst', 'articles', 'SELECT')") is False
        return
    assert refusal(database, statement) == REFUSED


def test_the_pipelines_role_retracts_annotations_but_erases_and_undoes_nothing(pipeline, owner, tmp_path):
    ingest_file(pipeline, tmp_path / "z.csv", articles(3, prefix="z"), source="rights")
    retracted = retraction.retract(pipeline, AnnotationFilter(annotator="source:rights", external_id="z0"), yes=True)
    assert retracted.annotations == 1
    selection = Selection(source="rights")
    assert erase.erase(pipeline, selection).articles == 3
    number = value(owner.database, "SELECT max(id) FROM ingest_runs WHERE source = 'rights'")
    assert undo.undo_run(pipeline, number).articles == 3
    for attempt in (
        lambda: erase.erase(pipeline, selection, yes=True),
        lambda: undo.undo_run(pipeline, number, yes=True),
    ):
        with pytest.raises(DatabaseRightsError, match="only the owner of the tables may do this"):
            attempt()
    assert undo.undo_run(owner, number, yes=True).articles == 3
    erased = articles(1, prefix="y")
    ingest_file(pipeline, tmp_path / "z.csv", erased, source="rights")
    assert erase.erase(owner, selection, yes=True).articles == 1
    assert ingest_file(pipeline, tmp_path / "z.csv", erased, source="rights").erased == 1


@pytest.mark.slow
def test_an_analyst_can_read_labels_and_their_history_but_no_text(analyst, owner, worked):
    counts = dict(query(analyst.database, "SELECT origin, count(*) FROM article_labels GROUP BY origin"))
    assert counts["annotation"] >= 240
    assert counts["prediction"] > 0
    joined = "SELECT count(*) FROM articles JOIN article_labels ON article_id = id JOIN models ON models.name = model"
    assert value(analyst.database, joined.replace("articles JOIN", "(SELECT id FROM articles) AS a JOIN")) > 0
    assert refusal(analyst.database, "SELECT text FROM articles") == REFUSED

    read = 0
    for schema, table, column in query(
        owner.database, "SELECT table_schema, table_name, column_name FROM information_schema.columns "
        "WHERE table_schema IN ('public', 'optuna')",
    ):  # fmt: skip
        contains = f"SELECT count(*) FROM {schema}.{table} WHERE \"{column}\"::text LIKE '%{SENTINEL}%'"
        code = refusal(analyst.database, contains)
        assert code in {None, REFUSED}
        if code is None:
            read += 1
            assert value(analyst.database, contains) == 0, (table, column)
    assert read > 50
    kept = "SELECT count(*) FROM {} WHERE {} LIKE '%xyzzy%'"
    assert value(owner.database, kept.format("articles", "text")) == 300
    assert value(owner.database, kept.format("rejected_rows", '"row"')) == 1


def test_an_analyst_cannot_write(analyst, owner):
    """Not even where the setting by which Postgres refuses first, with 25006, is set off."""
    tables = [name for name in inspect(owner.database).get_table_names() if name != "alembic_version"]
    assert len(tables) > 15
    for prefix in ("", "SET default_transaction_read_only = off; COMMIT; "):
        for table in tables:
            for statement in (f"INSERT INTO {table} DEFAULT VALUES", f"DELETE FROM {table}", f"TRUNCATE {table}"):
                assert refusal(analyst.database, prefix + statement) == (REFUSED if prefix else "25006")
        for statement in ("CREATE TEMPORARY TABLE mine (id int)", "CREATE TABLE mine (id int)"):
            assert refusal(analyst.database, prefix + statement) == (REFUSED if prefix else "25006")


def test_other_roles_cannot_connect(stack, owner, opened):
    admin = create_engine(stack, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE ROLE stranger LOGIN PASSWORD 'x'"))
    admin.dispose()
    with pytest.raises(DatabaseUnavailableError, match="permission denied for database"):
        status.read_status(opened("stranger", "x"))
    other = stack.set(username="articles_pipeline", password=PASSWORDS["pipeline"], database="airflow")
    engine = create_engine(other)
    with pytest.raises(DBAPIError, match="permission denied for database"):
        engine.connect()


def test_tables_of_later_versions_are_granted(owner, pipeline, analyst):
    run(owner.database, "CREATE TABLE of_later (id bigserial PRIMARY KEY, note text)")
    run(pipeline.database, "INSERT INTO of_later (note) VALUES ('by default')")
    run(owner.database, "REVOKE ALL ON of_later FROM articles_pipeline")
    upgrade.upgrade_schema(owner)
    run(pipeline.database, "DELETE FROM of_later")
    assert refusal(analyst.database, "SELECT * FROM of_later") == REFUSED, "it may hold texts"
    run(owner.database, "DROP TABLE of_later")


def test_running_again_changes_only_a_new_password(owner, opened, caplog):
    rights = "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
    before = query(owner.database, rights)
    again = replace(owner, settings=owner.settings.model_copy(update={"analyst_password": SecretStr("another")}))
    assert [(role.created, role.password_set) for role in roles.create_roles(again)] == [(False, True), (False, True)]
    assert query(owner.database, rights) == before
    assert query(opened("articles_analyst", "another").database, "SELECT 1") == [(1,)]
    with pytest.raises(DatabaseUnavailableError, match="password authentication failed"):
        status.read_status(opened("articles_analyst", PASSWORDS["analyst"]))
    roles.create_roles(owner)


def test_a_role_that_does_not_own_the_tables_gets_one_line(pipeline):
    for action in (upgrade.upgrade_schema, roles.create_roles):
        with pytest.raises(
            DatabaseRightsError, match=r"articles_pipeline:\*\*\*@.*: (permission denied for|only the owner)"
        ):
            action(pipeline)


def test_a_missing_right_is_one_line_that_names_it(analyst):
    with pytest.raises(DatabaseRightsError, match=r"articles_analyst:\*\*\*@.*: permission denied for table") as caught:
        status.read_status(analyst)
    assert "\n" not in str(caught.value)


def test_an_owner_that_may_not_create_roles_gets_the_statement_for_an_administrator(stack, owner):
    admin = create_engine(stack.set(database="articles"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("ALTER ROLE articles NOCREATEROLE"))
        connection.execute(text("ALTER ROLE articles_analyst RENAME TO aside"))
        try:
            with pytest.raises(DatabaseRightsError, match='CREATE ROLE "articles_analyst" LOGIN'):
                roles.create_roles(replace(owner, settings=Settings(_env_file=None)))
            connection.execute(text("CREATE ROLE articles_analyst LOGIN"))
            done = roles.create_roles(replace(owner, settings=Settings(_env_file=None)))
            assert [(role.created, role.password_set) for role in done] == [(False, False), (False, False)]
        finally:
            connection.execute(text("DROP OWNED BY articles_analyst"))
            connection.execute(text("DROP ROLE articles_analyst"))
            connection.execute(text("ALTER ROLE aside RENAME TO articles_analyst"))
            connection.execute(text("ALTER ROLE articles CREATEROLE"))
    admin.dispose()
    roles.create_roles(owner)
