"""No article is overwritten or repeated silently: files of one name, forgotten ids, other splits, like categories."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from classifier.exceptions import KnownTextsError, SourceError
from classifier.ingest.readers import Columns
from classifier.pipeline.ingest import inbox, rejected_rows, units
from classifier.pipeline.ingest.source_names import name_source
from tests.support.synthetic import COLUMNS, articles, ingest_file, query, unlabelled, value, write_csv

CASES = Path(__file__).parents[1] / "data" / "cases"
WITHOUT_ID = Columns("text", "category")


def ingest(workspace, pattern, columns=COLUMNS, **more):
    return units.ingest_files(workspace, str(pattern), units.IngestOptions(columns, **more))


def sources(workspace):
    return query(workspace.database, "SELECT source, external_id, text FROM articles ORDER BY 1, 2")


def test_files_of_one_name_in_two_folders_are_two_sources(workspace):
    report = ingest(workspace, CASES / "same-name" / "*" / "part-0.csv", Columns("text", None, "id"))
    assert (report.new, report.changed) == (2, 0)
    assert sources(workspace) == [
        ("2024/part-0", "1", "january news about ships"),
        ("2025/part-0", "1", "a concert in the hall"),
    ]


@pytest.mark.parametrize(
    ("path", "pattern", "name"),
    [
        ("news/bbc.csv.gz", None, "bbc"),
        ("news/bbc.csv", "news/bbc.csv", "bbc"),
        ("news/bbc.csv", "news/*.csv", "bbc"),
        ("/news/2024/bbc.csv", "/news/*/bbc.csv", "2024/bbc"),
        ("news/2024/1/bbc.csv", "news/**/*.csv", "2024/1/bbc"),
        ("news/bbc.csv", "news/**/*.csv", "bbc"),
        ("elsewhere/bbc.csv", "news/*.csv", "bbc"),
    ],
)
def test_a_source_is_the_path_below_the_fixed_part_of_the_pattern(path, pattern, name):
    assert name_source(Path(path), pattern) == name


def test_a_file_that_came_with_others_may_be_ingested_alone(workspace, tmp_path, caplog):
    paths = [str(write_csv(tmp_path / f"{name}.csv", unlabelled(3, prefix=name))) for name in "xy"]
    units.ingest_files(workspace, paths, units.IngestOptions(COLUMNS))
    changed = [{**row, "text": f"changed {row['text']}"} for row in unlabelled(3, prefix="y")]
    with caplog.at_level(logging.WARNING, "classifier"):
        assert ingest(workspace, write_csv(tmp_path / "y.csv", changed)).changed == 3
    assert "that came from" not in caplog.text


def test_the_files_of_two_patterns_may_not_be_one_source(workspace, tmp_path):
    for folder in ("a", "b"):
        path = tmp_path / folder / "2024" / "x.csv"
        path.parent.mkdir(parents=True)
        write_csv(path, unlabelled(3, prefix=folder))
    patterns = [f"{tmp_path}/{folder}/*/x.csv" for folder in ("a", "b")]
    with pytest.raises(SourceError, match="its source would be '2024/x'"):
        units.ingest_files(workspace, patterns, units.IngestOptions(COLUMNS))
    assert sources(workspace) == []


@pytest.mark.parametrize("detour", ["", "./" * 450], ids=["short", "too long to be stored"])
def test_rejected_rows_are_read_again_as_rows_of_the_same_source(workspace, tmp_path, detour):
    (tmp_path / "2024").mkdir()
    nameless = {"id": "", "text": "nameless", "category": ""}
    write_csv(tmp_path / "2024" / "x.csv", [*unlabelled(30), nameless])
    ingest(workspace, f"{tmp_path}/{detour}*/x.csv")
    before = sources(workspace)
    write_csv(tmp_path / "2024" / "x.csv", [*unlabelled(30), {**nameless, "id": "named"}])
    assert rejected_rows.retry_rejected(workspace, {}, str).resolved == 1
    assert sources(workspace) == sorted([*before, ("2024/x", "named", "nameless")])


def test_two_files_that_would_be_one_source_are_refused(workspace, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    write_csv(tmp_path / "one" / "x.csv", unlabelled(3))
    write_csv(tmp_path / "one" / "x.tab", unlabelled(3, seed=1)).write_text("id\ttext\tcategory\na0\tthe bank\t\n")
    with pytest.raises(
        SourceError, match=r"x\.tab: its source would be 'x', as that of .*x\.csv, .*--source-name NAME"
    ):
        ingest(workspace, tmp_path / "one" / "x.*")
    assert value(workspace.database, "SELECT count(*) FROM articles") == 0
    assert ingest(workspace, tmp_path / "one" / "x.*", source="all").new == 3


def test_the_inbox_refuses_the_second_of_two_files_that_would_be_one_source(workspace, tmp_path):
    write_csv(tmp_path / "x.csv", unlabelled(3))
    (tmp_path / "x.tab").write_text("id\ttext\tcategory\na0\tthe bank\t\n", encoding="utf-8")
    for _ in range(2):  # also when the first one is unchanged
        with pytest.raises(SourceError, match=r"x\.tab: its source would be 'x'"):
            inbox.ingest_inbox(workspace, str(tmp_path / "x.*"), units.IngestOptions(COLUMNS))
    assert value(workspace.database, "SELECT count(*) FROM articles WHERE text <> 'the bank'") == 3


def test_rejected_rows_are_retried_under_the_same_source(workspace, tmp_path):
    (tmp_path / "2024").mkdir()
    file = tmp_path / "2024" / "x.csv"
    write_csv(file, [*unlabelled(9), {"id": "", "text": "x", "category": ""}])
    ingest(workspace, tmp_path / "*" / "x.csv", max_rejected=1)
    write_csv(file, [*unlabelled(9), {"id": "new", "text": "x", "category": ""}])
    assert rejected_rows.retry_rejected(workspace, {}, lambda _: "").resolved == 1
    assert value(workspace.database, "SELECT count(*) FROM articles WHERE source = '2024/x'") == 10


def test_a_file_ingested_again_without_its_id_is_refused_unless_anyway(workspace, tmp_path):
    rows = articles(9)
    ingest_file(workspace, tmp_path / "x.csv", rows)
    with pytest.raises(KnownTextsError) as refused:
        ingest_file(workspace, tmp_path / "x.csv", rows, WITHOUT_ID)
    assert "x.csv: its source already has 9 of its texts, ingested with --id, such as 'a0'" in (str(refused.value))
    assert "name the same column with --id, or add them again with --anyway" in str(refused.value)
    assert value(workspace.database, "SELECT count(*) FROM articles") == 9
    assert ingest_file(workspace, tmp_path / "x.csv", rows, WITHOUT_ID, anyway=True).new == 9
    assert ingest_file(workspace, tmp_path / "x.csv", rows, WITHOUT_ID).unchanged == 9, "both kinds are there now"


def test_a_file_ingested_again_with_an_id_that_it_had_not_is_refused(workspace, tmp_path):
    rows = articles(9)
    ingest_file(workspace, tmp_path / "x.csv", rows, WITHOUT_ID)
    with pytest.raises(KnownTextsError, match=r"ingested without --id, so that hashes .* leave --id out"):
        ingest_file(workspace, tmp_path / "x.csv", rows)
    assert ingest_file(workspace, tmp_path / "x.csv", rows, WITHOUT_ID).unchanged == 9


def test_further_rows_and_the_same_text_under_another_id_are_taken(workspace, tmp_path):
    rows = articles(9)
    ingest_file(workspace, tmp_path / "x.csv", rows)
    assert ingest_file(workspace, tmp_path / "x.csv", [*rows, {**rows[0], "id": "twin"}]).new == 1
    assert ingest_file(workspace, tmp_path / "y.csv", rows, WITHOUT_ID).new == 9, "another source"


def test_another_split_of_a_known_article_is_counted_and_the_article_keeps_its_split(workspace, tmp_path, caplog):
    columns = Columns("text", "category", "id", "split")
    rows = [{**row, "split": "train"} for row in articles(6)]
    assert ingest_file(workspace, tmp_path / "x.csv", rows, columns).other_split == 0
    rows[0]["split"] = rows[1]["split"] = "test"
    with caplog.at_level(logging.WARNING):
        report = ingest_file(workspace, tmp_path / "x.csv", rows, columns)
    assert (report.other_split, report.unchanged) == (2, 6)
    assert "2 rows name another split than the article has; an article keeps its split for good" in caplog.text
    assert query(workspace.database, "SELECT DISTINCT split FROM articles") == [("train",)]
    assert value(workspace.database, "SELECT other_split FROM ingest_runs ORDER BY id DESC LIMIT 1") == 2


def test_articles_that_another_file_of_the_name_changes_are_told(workspace, tmp_path, caplog):
    for folder in ("2024", "2025"):
        (tmp_path / folder).mkdir()
    ingest_file(workspace, tmp_path / "2024" / "x.csv", articles(3))
    with caplog.at_level(logging.WARNING):
        ingest_file(workspace, tmp_path / "2024" / "x.csv", articles(3, seed=1))
    assert "came from" not in caplog.text
    with caplog.at_level(logging.WARNING):
        assert ingest_file(workspace, tmp_path / "2025" / "x.csv", articles(3, seed=2)).changed == 3
    assert f"2025/x.csv: changed 3 articles that came from {tmp_path}/2024/x.csv; if the two files" in caplog.text


def test_categories_that_were_folded_or_look_alike_are_named(workspace, classifier):
    environment = {"CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False)}
    done = classifier(
        "ingest", CASES / "categories.csv", "--id", "id", "--category", "category", COLUMNS="400", **environment
    )
    assert done.returncode == 0, done.stderr
    message = " ".join(done.stderr.split())
    assert "categories are stored without invisible differences: 'Sport\\u200b' as 'Sport'" in message
    assert "'Sport' and 'sport'; write each category in one way" in message
    categories = query(workspace.database, "SELECT DISTINCT categories[1] FROM annotations ORDER BY 1")
    assert [name for (name,) in categories] == ["Sport", "sport", "Économie"]
