"""Files as people have them, each ingested by one command as its download lies on the disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from classifier.ingest.source_declarations import load_sources
from classifier.pipeline.ingest import declared_sources
from tests.support.synthetic import articles, query, write_csv

CASES = Path(__file__).parents[1] / "data" / "cases"


@pytest.fixture
def stored(workspace):
    """Return a function that returns source, id, category, split and text of each article."""
    return lambda: query(
        workspace.database,
        "SELECT a.source, a.external_id, n.categories[1], a.split, a.text FROM articles AS a "
        "LEFT JOIN annotations AS n ON n.article_id = a.id ORDER BY a.source, a.external_id",
    )


@pytest.fixture
def c50(tmp_path):
    """Return the folder of a download like Reuter_50_50: two folders of authors, with one text file an article."""
    for split in ("C50train", "C50test"):
        for author in ("AaronPressman", "AlanCrosby"):
            folder = tmp_path / "c50" / split / author
            folder.mkdir(parents=True)
            for number in range(3):
                text = f"{author} wrote about {split} and number {number}.\r\n"
                (folder / f"{number}newsML.txt").write_bytes(text.encode())
    return tmp_path / "c50"


@pytest.mark.parametrize("names", [["c50"], ["c50/C50train", "c50/C50test", "--source-name", "c50"]])
def test_c50_is_ingested_from_its_folders(command, c50, stored, names):
    code, out, err = command("ingest", *names, "--split-folders", "--json")
    assert (code, err) == (0, "")
    counts = json.loads(out)
    assert (counts["read"], counts["new"], counts["annotations"]) == (12, 12, 12)
    rows = stored()
    assert rows[0][:4] == ("c50", "C50test/AaronPressman/0newsML.txt", "AaronPressman", "test")
    assert {(row[2], row[3]) for row in rows} == {
        (author, split) for author in ("AaronPressman", "AlanCrosby") for split in ("train", "test")
    }
    assert json.loads(command("ingest", *names, "--split-folders", "--json")[1])["unchanged"] == 12


def test_the_folders_of_the_case_give_three_train_articles_and_a_test_article(command, stored):
    command("ingest", str(CASES / "folders"), "--split-folders")
    assert [row[1:4] for row in stored()] == [
        ("test/sport/9.txt", "sport", "test"),
        ("train/business/1.txt", "business", "train"),
        ("train/business/2.txt", "business", "train"),
        ("train/sport/1.txt", "sport", "train"),
    ]


@pytest.mark.parametrize(
    "options",
    [
        ["--no-header", "--category", "1", "--text", "2,3"],
        ["--columns", "class,title,description", "--category", "class", "--text", "title,description"],
    ],
)
def test_ag_news_is_ingested_from_its_csv_without_a_header(command, stored, options):
    assert command("ingest", str(CASES / "headerless.csv"), *options)[0] == 0
    assert sorted((row[2], row[4]) for row in stored()) == [
        ("2", "Cup final\n\nThe team won the cup after extra time."),
        ("3", "Rates up again\n\nThe bank raised its rate for the third time this year."),
    ]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("semicolon.csv", []),
        ("excel-sep.csv", []),
        ("tabs.csv", []),
        ("preamble.csv", ["--skip-lines", "2"]),
        ("array.json", ["--text", "headline,body"]),
        ("wrapped.json", ["--text", "body"]),
        ("wrapped.json", ["--text", "body", "--records", "items"]),
    ],
)
def test_each_case_is_two_articles(command, stored, name, options):
    code, _, err = command("ingest", str(CASES / name), "--id", "id", "--category", "category", *options)
    assert (code, err) == (0, "")
    assert [row[1:3] for row in stored()] == [("1", "sport"), ("2", "business")]


class TestSeveralFiles:
    def test_are_ingested_by_one_command(self, command, tmp_path, stored):
        write_csv(tmp_path / "a.csv", articles(3))
        write_csv(tmp_path / "b.csv", articles(3, prefix="b", seed=1))
        code, out, _ = command("ingest", "a.csv", "b.csv", "a.csv", "[ab].csv", "--id", "id", "--json")
        assert (code, json.loads(out)["files"], len(stored())) == (0, 2, 6)

    def test_are_ingested_next_to_a_bad_one_which_the_summary_names(self, command, tmp_path, stored, workspace):
        write_csv(tmp_path / "a.csv", articles(3))
        (tmp_path / "b.csv").write_bytes(b"")
        write_csv(tmp_path / "c.csv", articles(3, prefix="c", seed=1))
        code, out, err = command("ingest", "a.csv", "b.csv", "gone.csv", "c.csv", "--id", "id", "--json")
        assert (code, json.loads(out)["files"], len(stored())) == (2, 2, 6)
        assert err.count("\n") == 1
        assert err.startswith("error: 2 files were not ingested: b.csv: the file is empty; gone.csv: no such file")
        assert query(workspace.database, "SELECT source, status, files FROM ingest_runs ORDER BY id") == [
            ("a.csv", "succeeded", 1), ("b.csv", "failed", 0), ("gone.csv", "failed", 0), ("c.csv", "succeeded", 1)
        ]  # fmt: skip

    def test_that_are_all_bad_have_no_summary(self, command, tmp_path):
        (tmp_path / "b.csv").write_bytes(b"")
        assert command("ingest", "b.csv", "gone.csv")[:2] == (2, "")


def test_every_option_is_a_key_of_a_declared_source(workspace, tmp_path, stored):
    shutil.copytree(CASES, tmp_path / "in")
    (tmp_path / "in" / "pipe.csv").write_text("Export\n3|Rates up|The bank raised its rate.\n")
    (tmp_path / "sources.toml").write_text(
        "[sources.pipe]\nkind = 'files'\nfiles = 'in/pipe.csv'\ndelimiter = 'pipe'\nskip_lines = 1\n"
        "column_names = ['class', 'title', 'body']\ncolumns = {text = 'title,body', category = 'class'}\n"
        "[sources.numbers]\nkind = 'files'\nfiles = 'in/headerless.csv'\nheader = false\n"
        "columns = {text = '3', category = '1'}\n"
        "[sources.items]\nkind = 'files'\nfiles = 'in/wrapped.json'\nrecords = 'items'\ncolumns = {text = 'body'}\n"
        "[sources.folders]\nkind = 'files'\nfiles = 'in/folders'\nsplit_folders = true\n"
    )
    declared = load_sources(tmp_path / "sources.toml")
    new = {name: declared_sources.ingest_source(workspace, declared[name], lambda _: "").new for name in declared}
    assert new == {"pipe": 1, "numbers": 2, "items": 2, "folders": 4}
    assert ("3", "Rates up\n\nThe bank raised its rate.") in {(row[2], row[4]) for row in stored()}
    again = [declared_sources.ingest_source(workspace, source, lambda _: "").files for source in declared.values()]
    assert again == [0, 0, 0, 0]


def test_a_declared_folder_is_read_again_when_one_of_its_files_changes(workspace, tmp_path):
    shutil.copytree(CASES / "folders" / "train", tmp_path / "news")
    (tmp_path / "sources.toml").write_text("[sources.news]\nkind = 'files'\nfiles = 'news'\n")
    (source,) = load_sources(tmp_path / "sources.toml").values()
    assert declared_sources.ingest_source(workspace, source, lambda _: "").new == 3
    (tmp_path / "news" / "sport" / "2.txt").write_text("A new coach came to the club.")
    report = declared_sources.ingest_source(workspace, source, lambda _: "")
    assert (report.new, report.unchanged) == (1, 3)
