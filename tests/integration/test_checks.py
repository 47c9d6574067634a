"""What `ingest --dry-run` and `sources check` say of an ingest before it happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.synthetic import articles, dump, write_csv

CASES = Path(__file__).parents[1] / "data" / "cases"
TABLES = ("articles", "ingest_runs", "source_state", "rejected_rows")


@pytest.fixture
def bad_rows(tmp_path):
    """Write a file of 23 rows of which 9 are invalid."""
    rows = [{"id": str(n), "text": "" if n < 9 else f"text {n}", "at": "soon" if n == 10 else ""} for n in range(23)]
    return write_csv(tmp_path / "bad.csv", rows)


@pytest.fixture(autouse=True)
def nothing_is_written(workspace, tmp_path):
    before = dump(workspace.database, *TABLES)
    yield
    assert dump(workspace.database, *TABLES) == before
    assert not (tmp_path / "var").exists()


class TestDryRun:
    @pytest.mark.usefixtures("bad_rows")
    def test_says_that_a_file_would_be_refused(self, command):
        code, out, err = command("ingest", "--dry-run", "bad.csv", "--id", "id", "--published-at", "at")
        assert code == 2
        assert "would be refused: 9 of 23 rows are invalid, more than 5%" in " ".join(out.split())
        assert "bad.csv: 9 rows: text is empty" in out
        assert "bad.csv: 1 row without a publication time that can be read" in out
        assert err == (
            "error: 1 of 1 files would not be ingested: "
            "bad.csv: would be refused: 9 of 23 rows are invalid, more than 5%\n"
        )

    @pytest.mark.usefixtures("bad_rows")
    def test_follows_the_thresholds_of_the_ingest(self, command):
        options = ("--id", "id", "--max-rejected", "0.5", "--json")
        code, out, _ = command("ingest", "--dry-run", "bad.csv", *options)
        (check,) = json.loads(out)
        assert (code, check["rows"], check["rejected"], check["problem"]) == (0, 14, 9, None)

    @pytest.mark.parametrize(
        ("name", "options", "expected"),
        [
            ("semicolon.csv", [], ("utf-8", ";", ["id", "title", "text", "category"])),
            ("tabs.csv", ["--encoding", "auto"], ("utf-8", "tab", ["id", "text", "category"])),
            ("excel-sep.csv", ["--encoding", "cp1252"], ("cp1252", ";", ["id", "text", "category"])),
            ("preamble.csv", ["--skip-lines", "2"], ("utf-8", ",", ["id", "text", "category"])),
            ("headerless.csv", ["--no-header", "--text", "3"], ("utf-8", ",", ["1", "2", "3"])),
            ("headerless.csv", ["--columns", "a,b,text"], ("utf-8", ",", ["a", "b", "text"])),
            ("wrapped.json", ["--text", "body"], ("utf-8", None, ["id", "body", "category"])),
            ("array.json", ["--text", "body"], ("utf-8", None, ["id", "headline", "body", "category"])),
            ("folders", ["--split-folders"], ("detected for each file", None, [])),
        ],
    )
    def test_shows_encoding_delimiter_and_columns(self, command, name, options, expected):
        code, out, err = command("ingest", "--dry-run", str(CASES / name), *options, "--json")
        assert (code, err) == (0, "")
        (check,) = json.loads(out)
        assert (check["encoding"], check["delimiter"], check["columns"]) == expected

    @pytest.mark.parametrize("suffix", ["parquet", "xlsx", "jsonl"])
    def test_shows_the_columns_of_other_kinds(self, command, tmp_path, suffix):
        import pandas as pd

        frame = pd.DataFrame({"id": ["1"], "text": ["a"]})
        match suffix:
            case "parquet":
                frame.to_parquet(tmp_path / "a.parquet")
            case "xlsx":
                frame.to_excel(tmp_path / "a.xlsx", index=False)
            case _:
                frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
        (check,) = json.loads(command("ingest", "--dry-run", f"a.{suffix}", "--json")[1])
        assert (check["columns"], check["rows"]) == (["id", "text"], 1)

    def test_shows_five_short_rows_without_control_characters(self, command, tmp_path):
        rows = [{"id": f"{n}", "text": f"\x1b[31m {n}\nword " + "long " * 50, "category": ""} for n in range(7)]
        write_csv(tmp_path / "a.csv", [*rows, {"id": "7", "text": "x", "category": "[b]"}])
        (check,) = json.loads(command("ingest", "--dry-run", "a.csv", "--id", "id", "--json")[1])
        assert [row["external_id"] for row in check["examples"]] == ["0", "1", "2", "3", "4"]
        assert check["examples"][0]["text"] == "[31m 0 word long long long long long long long long long lo…"
        _, out, _ = command("ingest", "--dry-run", "a.csv", "--id", "id")
        assert "\x1b" not in out
        assert "[31m 4 word long" in out

    def test_checks_each_file_and_names_those_that_fail(self, command, tmp_path):
        write_csv(tmp_path / "a.csv", articles(3))
        (tmp_path / "b.csv").write_bytes(b"")
        code, out, err = command("ingest", "--dry-run", "a.csv", "b.csv", "gone.csv", "a.*")
        assert code == 2
        assert out.count("would be ingested") == 1
        assert err == ("error: 2 of 3 files would not be ingested: b.csv: the file is empty; gone.csv: no such file\n")

    def test_needs_no_database(self, command, tmp_path, monkeypatch):
        write_csv(tmp_path / "a.csv", articles(3))
        monkeypatch.setenv("CLASSIFIER_DATABASE_URL", "postgresql+psycopg2://x@localhost:1/none")
        assert command("ingest", "--dry-run", "a.csv", "--id", "id")[0] == 0


@pytest.mark.usefixtures("declared")
class TestSourcesCheck:
    DECLARED = (
        "[sources.news]\nkind = 'files'\nfiles = 'in/*'\ncolumns = {id = 'id', published_at = 'at'}\n"
        "[sources.good]\nkind = 'files'\nfiles = 'good.csv'\n"
    )

    @pytest.fixture
    def declared(self, tmp_path, bad_rows):
        (tmp_path / "in").mkdir()
        bad_rows.rename(tmp_path / "in" / "bad.csv")
        (tmp_path / "in" / "a.csv").write_text("id;text;at\n1;one;\n2;two;\n")
        (tmp_path / "good.csv").write_text("text|x\none|1\n")
        (tmp_path / "sources.toml").write_text(self.DECLARED)

    def test_says_that_a_file_would_be_refused(self, command, tmp_path):
        code, out, err = command("sources", "check")
        assert code == 2
        assert "refused" in out
        assert err == (
            f"error: 1 of 2 sources failed: news: {tmp_path}/in/bad.csv: "
            "would be refused: 9 of 23 rows are invalid, more than 5%\n"
        )

    def test_shows_encoding_delimiter_columns_and_rows(self, command):
        news, good = json.loads(command("sources", "check", "--json")[1])
        assert (news["delimiter"], news["columns"], news["rows"], news["undated"]) == (
            ", and ;",
            ["id", "text", "at"],
            16,
            1,
        )
        assert [row["text"] for row in news["examples"]] == ["one", "two"]
        assert (good["delimiter"], good["encoding"], good["columns"]) == ("|", "utf-8", ["text", "x"])
        assert "good: its columns are 'text', 'x'" in command("sources", "check", "good")[1]

    def test_says_so_of_a_file_of_which_it_reads_a_part(self, workspace, tmp_path):
        from classifier.ingest.source_declarations import load_sources
        from classifier.pipeline.ingest import declared_sources

        source = load_sources(tmp_path / "sources.toml")["news"]
        check = declared_sources.check_source(workspace, source, lambda _: "", rows=5)
        assert check.more
        assert (
            check.problem
            == f"{tmp_path}/in/bad.csv: would be refused: 9 of its first 23 rows are invalid, more than 5%"
        )
