"""The commands of sources and rejected rows: their output, and user errors with one line and exit code 2."""

from __future__ import annotations

import json

import pytest

from tests.support.synthetic import articles, write_csv


@pytest.fixture
def declared(tmp_path):
    write_csv(tmp_path / "good.csv", [*articles(30), {"id": "", "text": "nameless", "category": ""}])
    (tmp_path / "bad.csv").write_bytes(b"")
    tables = [
        f"[sources.{name}]\nkind = 'files'\nfiles = '{name}.csv'\ncolumns = {{id = 'id'}}\n" for name in ("good", "bad")
    ]
    (tmp_path / "sources.toml").write_text("".join(tables))


def test_check_prints_a_table_and_fails_if_a_source_fails(command, declared):
    code, out, err = command("sources", "check")
    assert code == 2
    assert "good: 1 row: id is empty" in out
    assert err.startswith("error: 1 of 2 sources failed: bad: ")
    assert err.count("\n") == 1


def test_check_in_json(command, declared):
    code, out, _ = command("sources", "check", "good", "--json")
    assert code == 0
    (check,) = json.loads(out)
    assert (check["name"], check["rows"], check["rejected"], check["problem"]) == ("good", 30, 1, None)


def test_ingest_continues_after_a_failed_source_and_reports_each(command, declared):
    code, out, err = command("sources", "ingest", "--json")
    assert code == 2
    assert "1 of 2 sources failed: bad: " in err
    runs = {run["source"]: run for run in json.loads(out)}
    assert (runs["good"]["status"], runs["good"]["new"], runs["good"]["rejected"]) == ("succeeded", 30, 1)
    assert runs["bad"]["status"] == "failed"
    assert "the file is empty" in runs["bad"]["error"]


def test_the_status_shows_the_last_runs(command, declared):
    command("sources", "ingest")
    _, out, _ = command("status")
    assert "succeeded" in out
    assert "bad: " in out
    _, out, _ = command("status", "--json")
    assert [run["source"] for run in json.loads(out)["runs"]] == ["bad", "good"]


def test_rejected_rows_are_listed_and_retried(command, declared, tmp_path):
    command("sources", "ingest", "good")
    assert "line 32" in command("rejected")[1]
    (row,) = json.loads(command("rejected", "list", "--json")[1])
    assert (row["source"], row["position"], row["unit"]) == ("good", "line 32", str(tmp_path / "good.csv"))
    assert row["reason"] == "id is empty"
    write_csv(tmp_path / "good.csv", [*articles(30), {"id": "n", "text": "named", "category": ""}])
    code, out, _ = command("rejected", "retry", "--json")
    assert code == 0
    assert json.loads(out) == {"retried": 1, "resolved": 1, "still_rejected": 0, "problems": []}
    assert "Rejected rows: none" in command("rejected")[1]


def test_files_of_the_command_line_are_retried_without_a_declaration(command, tmp_path):
    write_csv(tmp_path / "x.csv", [*articles(30), {"id": "", "text": "nameless", "category": ""}])
    assert command("ingest", "x.csv", "--id", "id")[0] == 0
    assert json.loads(command("rejected", "retry", "--json")[1])["still_rejected"] == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["sources", "check"], "sources.toml: cannot be read (No such file or directory); see sources.example.toml"),
        (["sources", "ingest", "--file", "none.toml"], "none.toml: cannot be read"),
        (["rejected", "retry", "--file", "none.toml"], "none.toml: cannot be read"),
        (["ingest", "x.csv", "--encoding", "utf-9"], "encoding 'utf-9': unknown; write, for example, cp1252"),
    ],
)
def test_a_user_error_is_one_line(command, arguments, line):
    code, _, err = command(*arguments)
    assert code == 2
    assert line in err
    assert err.count("\n") == 1


def test_the_error_for_an_unknown_name_lists_the_declared_sources(command, declared):
    _, _, err = command("sources", "ingest", "god")
    assert "source 'god': unknown; choose from good, bad" in err


def test_the_environment_has_the_url_of_a_querys_database(command, tmp_path, monkeypatch):
    import sqlite3

    with sqlite3.connect(tmp_path / "cms.db") as connection:
        connection.execute("CREATE TABLE stories (id, text)")
        connection.execute("INSERT INTO stories VALUES (1, 'one')")
    connection.close()
    (tmp_path / "sources.toml").write_text(
        "[sources.cms]\nkind = 'sql'\nurl_from = 'CMS_URL'\nquery = 'SELECT * FROM stories'\n"
        "[sources.air]\nkind = 'sql'\nconnection = 'air'\nquery = 'SELECT * FROM stories'\n"
    )
    _, _, err = command("sources", "ingest")
    assert "cms: source 'cms': environment variable CMS_URL not found; set it to the database's URL" in err
    assert "environment variable AIRFLOW_CONN_AIR not found" in err
    monkeypatch.setenv("CMS_URL", f"sqlite:///{tmp_path}/cms.db")
    (tmp_path / ".env").write_text(f"AIRFLOW_CONN_AIR=sqlite:///{tmp_path}/cms.db\n")
    code, out, _ = command("sources", "ingest", "--json")
    assert code == 0
    assert [run["new"] for run in json.loads(out)] == [1, 1]
