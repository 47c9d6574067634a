"""Columns of several tasks, and several categories in one value, become the annotations of their tasks."""

from __future__ import annotations

import json
import logging
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classifier.exceptions import TaskError
from classifier.ingest import source_declarations
from classifier.ingest.columns import Columns, TaskColumn
from classifier.ingest.file_format import FileFormat
from classifier.pipeline.database import tasks
from classifier.pipeline.ingest import checks, declared_sources, inbox, rejected_rows, units
from classifier.pipeline.ingest.units import IngestOptions
from tests.support.loopback import page, serving
from tests.support.synthetic import query, run, value, write_csv

TOPIC, PLACE = TaskColumn("topic", "topics"), TaskColumn("place", "places")
BOTH = Columns(id="id", categories=(TOPIC, PLACE))


@pytest.fixture
def newsroom(workspace):
    """Return a workspace with a single-label task topic and a multi-label task place."""
    tasks.add(workspace, "topic")
    tasks.add(workspace, "place", kind="multi")
    return workspace


def annotations(workspace):
    """Return the categories of each article's last annotation, by task and id."""
    rows = query(
        workspace.database,
        "SELECT DISTINCT ON (tasks.name, external_id) tasks.name, external_id, categories FROM annotations "
        "JOIN tasks ON tasks.id = task_id JOIN articles ON articles.id = article_id "
        "ORDER BY tasks.name, external_id, annotations.id DESC",
    )
    return {(task, key): categories for task, key, categories in rows}


def waiting(workspace):
    statement = (
        "SELECT external_id, tasks.name FROM labelling_queue JOIN tasks ON tasks.id = task_id "
        "JOIN articles ON articles.id = article_id"
    )
    return set(query(workspace.database, statement))


def write_lines(path: Path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def reasons(workspace):
    return {row.position: row.reason for row in rejected_rows.list_rejected(workspace)}


ROWS = (
    {"id": "a", "text": "a team", "topics": "sport", "places": ["uk", "france"]},
    {"id": "b", "text": "a bank", "topics": ["business"], "places": []},
    {"id": "c", "text": "a chip", "topics": None, "places": None},
    {"id": "d", "text": "a goal", "topics": [], "places": [None, ""]},
    {"id": "e", "text": "a match", "topics": "sport", "places": ["uk", " uk\u200b"]},
)


def test_each_column_annotates_its_task_and_what_is_left_waits_for_a_label(newsroom, tmp_path):
    report = units.ingest_files(newsroom, write_lines(tmp_path / "x.jsonl", *ROWS), IngestOptions(BOTH))
    assert (report.new, report.annotations, report.rejected) == (5, 6, 0)
    assert annotations(newsroom) == {
        ("topic", "a"): ["sport"],
        ("topic", "b"): ["business"],
        ("topic", "e"): ["sport"],
        ("place", "a"): ["france", "uk"],
        ("place", "b"): [],
        ("place", "e"): ["uk"],
    }
    assert waiting(newsroom) == {(key, task) for key in "cd" for task in ("topic", "place")}


def test_the_same_file_again_changes_nothing(newsroom, tmp_path):
    path = write_lines(tmp_path / "x.jsonl", *ROWS)
    units.ingest_files(newsroom, path, IngestOptions(BOTH))
    report = units.ingest_files(newsroom, path, IngestOptions(BOTH))
    assert (report.unchanged, report.annotations, report.enqueued) == (5, 0, 0)


def test_a_list_of_two_is_rejected_in_a_single_label_task_and_ingested_after_a_fix(newsroom, tmp_path):
    rows = [*ROWS, {"id": "f", "text": "a share", "topics": ["business", "sport"], "places": ["uk"]}]
    path = write_lines(tmp_path / "x.jsonl", *rows)
    report = units.ingest_files(newsroom, path, IngestOptions(BOTH, max_rejected=0.5))
    assert report.rejected == 1
    assert reasons(newsroom) == {"line 6": "category has 2 values; the task topic takes one"}
    (row,) = rejected_rows.list_rejected(newsroom)
    assert json.loads(row.row) == {
        "id": "f",
        "category of topic": ["business", "sport"],
        "category of place": ["uk"],
        "text": "a share",
    }
    tasks.rename(newsroom, "topic", "subject")
    write_lines(tmp_path / "x.jsonl", *ROWS, rows[-1] | {"topics": "business"})
    retried = rejected_rows.retry_rejected(newsroom, {}, lambda _: "")
    assert (retried.retried, retried.resolved, retried.problems) == (1, 1, ())
    assert annotations(newsroom)["subject", "f"] == ["business"]
    assert annotations(newsroom)["place", "f"] == ["uk"]


def test_reading_a_file_for_one_task_keeps_what_was_rejected_for_another(newsroom, tmp_path):
    several = {"topics": ["business", "sport"], "places": "uk"}
    paths = [
        write_lines(tmp_path / f"{name}.jsonl", {"id": key, "text": f"{key} text", **several})
        for name, key in (("1", "f"), ("2", "g"))
    ]
    of_topic = IngestOptions(Columns(id="id", categories=(TOPIC,)), "s", max_rejected=1)
    of_place = IngestOptions(Columns(id="id", categories=(PLACE,)), "s")
    units.ingest_files(newsroom, paths[0], of_topic)
    units.ingest_files(newsroom, paths[0], of_place)
    units.ingest_files(newsroom, paths[1], IngestOptions(BOTH, "s", max_rejected=1))
    assert len(rejected_rows.list_rejected(newsroom)) == 2
    for path, key in zip(paths, "fg", strict=True):
        write_lines(Path(path), {"id": key, "text": f"{key} text", "topics": "business", "places": "france"})
    retried = rejected_rows.retry_rejected(newsroom, {}, lambda _: "")
    assert (retried.retried, retried.resolved, retried.problems) == (2, 2, ())
    assert annotations(newsroom) == {
        ("topic", "f"): ["business"],
        ("place", "f"): ["uk"],
        ("topic", "g"): ["business"],
        ("place", "g"): ["france"],
    }, "each file was read again for the tasks that its rows were rejected for"


def test_a_thousand_categories_fit_and_one_more_is_rejected(newsroom, tmp_path):
    names = [f"place {number}" for number in range(1001)]
    rows = [{"id": key, "text": key, "places": names[:count]} for key, count in (("a", 1000), ("b", 1001))]
    options = IngestOptions(Columns(id="id", categories=(PLACE,)), max_rejected=0.5)
    units.ingest_files(newsroom, write_lines(tmp_path / "x.jsonl", *rows), options)
    assert annotations(newsroom) == {("place", "a"): sorted(names[:1000])}
    assert reasons(newsroom) == {"line 2": "category of place has 1,001 values, more than the maximum of 1,000"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["uk", "a\nb"], "category of place has the control character U+000A"),
        (["uk", "x" * 201], "category of place is longer than 200 characters"),
        (["uk", "a\0b"], "category of place has a NUL character"),
        (["uk", ["nested"]], "category of place has a list in its list, but must be a list of strings"),
        (["uk", True], "category of place has true or false in its list, but must be a list of strings"),
        ({"uk": 1}, "category of place is an object with keys, but must be a string"),
    ],
)
def test_each_category_of_a_list_is_validated(newsroom, tmp_path, values, reason):
    rows = [{"id": "a", "text": "a", "places": ["uk"]}, {"id": "b", "text": "b", "places": values}]
    options = IngestOptions(Columns(id="id", categories=(PLACE,)), max_rejected=0.5)
    units.ingest_files(newsroom, write_lines(tmp_path / "x.jsonl", *rows), options)
    assert reasons(newsroom) == {"line 2": reason}


def test_a_text_is_divided_only_at_the_separator(newsroom, tmp_path):
    rows = [
        {"id": "a", "text": "one", "places": " uk ;; france;"},
        {"id": "b", "text": "two", "places": ""},
        {"id": "c", "text": "three", "places": ";"},
        {"id": "d", "text": "four", "places": "none"},
        {"id": "e", "text": "five", "places": "uk, france"},
    ]
    path = write_csv(tmp_path / "x.csv", rows)
    columns = Columns(id="id", categories=(PLACE,))
    units.ingest_files(
        newsroom, str(path), IngestOptions(columns, file_format=FileFormat(separator=";", none_value="none"))
    )
    assert annotations(newsroom) == {
        ("place", "a"): ["france", "uk"],
        ("place", "d"): [],
        ("place", "e"): ["uk, france"],
    }
    units.ingest_files(newsroom, str(path), IngestOptions(columns))
    assert annotations(newsroom)["place", "a"] == ["uk ;; france;"]


def test_lists_of_parquet_are_read_with_the_names_of_their_classes(newsroom, tmp_path):
    feature = {"feature": {"names": ["uk", "france"], "_type": "ClassLabel"}, "_type": "Sequence"}
    table = pa.table({
        "id": ["a", "b", "c", "d"],
        "text": ["one", "two", "three", "four"],
        "topics": pa.array([["sport"], None, [], [None]], pa.large_list(pa.string())),
        "places": pa.array([[0, 1], [], None, [7]], pa.list_(pa.int64())),
    })
    metadata = {"huggingface": json.dumps({"info": {"features": {"places": feature}}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "x.parquet")
    options = IngestOptions(BOTH, max_rejected=0.5)
    units.ingest_files(newsroom, str(tmp_path / "x.parquet"), options)
    assert annotations(newsroom) == {
        ("topic", "a"): ["sport"],
        ("place", "a"): ["france", "uk"],
        ("place", "b"): [],
    }
    assert reasons(newsroom) == {"row 4": "label 7 has no name; there are 2 names"}


def test_one_column_needs_no_task_while_there_is_one_and_may_be_a_list(workspace, tmp_path):
    tasks.add(workspace, "place", kind="multi")
    path = write_lines(tmp_path / "x.jsonl", *ROWS)
    units.ingest_files(workspace, path, IngestOptions(Columns(id="id", category="places")))
    assert annotations(workspace) == {("place", "a"): ["france", "uk"], ("place", "b"): [], ("place", "e"): ["uk"]}


class TestTasks:
    @pytest.mark.parametrize(
        ("columns", "problem"),
        [
            (Columns(category="topics"), "there are several tasks: topic, place; name one with --task"),
            (Columns(categories=(TaskColumn("author", "a"),)), "author: no such task; there are: topic, place"),
        ],
    )
    def test_a_task_must_be_known(self, newsroom, tmp_path, columns, problem):
        path = write_lines(tmp_path / "x.jsonl", *ROWS)
        with pytest.raises(TaskError, match=problem):
            units.ingest_files(newsroom, path, IngestOptions(columns))
        assert value(newsroom.database, "SELECT count(*) FROM articles") == 0
        assert query(newsroom.database, "SELECT status, error FROM ingest_runs") == [("failed", problem)]

    def test_an_archived_task_is_told(self, newsroom, tmp_path):
        tasks.archive(newsroom, "place")
        path = write_lines(tmp_path / "x.jsonl", *ROWS)
        for workspace, columns in ((newsroom, BOTH), (newsroom.with_task("place"), Columns(category="places"))):
            with pytest.raises(TaskError, match="place: is archived; run: classifier tasks"):
                units.ingest_files(workspace, path, IngestOptions(columns))

    def test_no_task_is_needed_without_categories(self, newsroom, tmp_path):
        path = write_lines(tmp_path / "x.jsonl", *ROWS)
        assert units.ingest_files(newsroom, path, IngestOptions(Columns(id="id"))).new == 5
        assert len(waiting(newsroom)) == 10

    def test_the_task_of_the_workspace_gets_the_only_column_and_is_remembered(self, newsroom, tmp_path):
        path = write_lines(tmp_path / "x.jsonl", *ROWS[:3], {"id": "f", "topics": "sport", "text": ""})
        options = IngestOptions(Columns(id="id", category="topics"), max_rejected=0.5)
        units.ingest_files(newsroom.with_task("topic"), path, options)
        assert annotations(newsroom) == {("topic", "a"): ["sport"], ("topic", "b"): ["business"]}
        write_lines(tmp_path / "x.jsonl", *ROWS[:3], {"id": "f", "topics": "sport", "text": "f"})
        assert rejected_rows.retry_rejected(newsroom, {}, lambda _: "").resolved == 1
        assert annotations(newsroom)["topic", "f"] == ["sport"]

    def test_folders_are_categories_of_the_named_task(self, newsroom, tmp_path):
        (tmp_path / "c50" / "AaronPressman").mkdir(parents=True)
        (tmp_path / "c50" / "AaronPressman" / "1.txt").write_text("a bank")
        with pytest.raises(TaskError, match="there are several tasks"):
            units.ingest_files(newsroom, str(tmp_path / "c50"), IngestOptions(Columns()))
        units.ingest_files(newsroom.with_task("topic"), str(tmp_path / "c50"), IngestOptions(Columns()))
        assert annotations(newsroom) == {("topic", "AaronPressman/1.txt"): ["AaronPressman"]}

    def test_look_alikes_are_told_for_each_task(self, newsroom, tmp_path, caplog):
        rows = (
            {"id": "a", "text": "one", "topics": "Turkey", "places": ["uk", "UK", "uk"]},
            {"id": "b", "text": "two", "topics": "sport", "places": ["turkey"]},
        )
        units.ingest_files(newsroom, write_lines(tmp_path / "x.jsonl", *rows), IngestOptions(BOTH))
        repeated, alike = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert "1 row has a category twice; it counts once" in repeated
        assert "'UK' and 'uk'" in alike
        assert "urkey" not in alike


class TestDeclaredSources:
    @pytest.fixture
    def declare(self, tmp_path):
        def load(content):
            (tmp_path / "sources.toml").write_text(content, encoding="utf-8")
            return source_declarations.load_sources(tmp_path / "sources.toml")

        return load

    def test_columns_are_mapped_to_tasks(self, newsroom, tmp_path, declare):
        write_csv(tmp_path / "x.csv", [{"id": "a", "text": "one", "topics": "sport", "places": "uk|france"}])
        (source,) = declare(
            "[sources.wire]\nkind = 'files'\nfiles = 'x.csv'\nseparator = '|'\n"
            "columns = { id = 'id', category = { topic = 'topics', place = 'places' } }\n"
        ).values()
        check = declared_sources.check_source(newsroom, source, lambda _: "")
        assert check.problem is None
        assert check.examples[0]["category of place"] == "france, uk"
        declared_sources.ingest_source(newsroom, source, lambda _: "")
        assert annotations(newsroom) == {("topic", "a"): ["sport"], ("place", "a"): ["france", "uk"]}

    def test_a_source_names_the_task_of_its_only_column(self, newsroom, tmp_path, declare):
        write_csv(tmp_path / "x.csv", [{"id": "a", "text": "one", "topics": "sport"}])
        (source,) = declare(
            "[sources.wire]\nkind = 'files'\nfiles = 'x.csv'\ntask = 'topic'\n"
            "columns = { id = 'id', category = 'topics' }\n"
        ).values()
        declared_sources.ingest_source(newsroom, source, lambda _: "")
        assert annotations(newsroom) == {("topic", "a"): ["sport"]}

    def test_a_source_for_an_unknown_task_is_told_by_a_check_and_by_a_run(self, newsroom, tmp_path, declare):
        write_csv(tmp_path / "x.csv", [{"id": "a", "text": "one", "topics": "sport"}])
        (source,) = declare(
            "[sources.wire]\nkind = 'files'\nfiles = 'x.csv'\ncolumns = { category = { author = 'topics' } }\n"
        ).values()
        problem = "author: no such task; there are: topic, place"
        assert declared_sources.check_source(newsroom, source, lambda _: "").problem == problem
        with pytest.raises(TaskError, match=problem):
            declared_sources.ingest_source(newsroom, source, lambda _: "")

    def test_a_feed_gives_a_multi_label_task_all_categories_and_a_single_label_task_the_first(self, newsroom, declare):
        items = "".join(
            f"<item><guid>{key}</guid><title>{key}</title>{categories}</item>"
            for key, categories in (
                ("a", "<category>uk</category><category>france</category>"),
                ("b", ""),
            )
        )
        body = f"<?xml version='1.0'?><rss version='2.0'><channel><title>t</title>{items}</channel></rss>".encode()
        with serving(page(body)) as site:
            (source,) = declare(
                f"[sources.bbc]\nkind = 'feed'\nurl = '{site.url}'\nallow_private = true\n"
                "columns = { category = { topic = 'category', place = 'category' } }\n"
            ).values()
            declared_sources.ingest_source(newsroom, source, lambda _: "")
        assert annotations(newsroom) == {("topic", "a"): ["uk"], ("place", "a"): ["france", "uk"]}

    def test_a_rejected_entry_that_a_feed_no_longer_shows_keeps_its_list(self, newsroom, declare):
        def feed(key, summary):
            item = {"id": key, "title": "t", "content_text": "words", "summary": summary, "tags": ["uk", "france"]}
            return page(json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": [item]}).encode())

        with serving(feed("a", "")) as site:
            toml = f"[sources.bbc]\nkind = 'feed'\nurl = '{site.url}'\nallow_private = true\nmax_rejected = 1\n"
            category = "category = { place = 'categories' }"
            (source,) = declare(f"{toml}columns = {{ text = 'summary', {category} }}\n").values()
            declared_sources.ingest_source(newsroom, source, lambda _: "")
            (row,) = rejected_rows.list_rejected(newsroom)
            assert json.loads(row.row)["category of place"] == ["uk", "france"]
            mended = row.row.replace('"text": ""', '"text": "b"')
            run(newsroom.database, "UPDATE rejected_rows SET row = :row", row=mended)
            site.answer = feed("b", "words")
            (without,) = declare(f"{toml}columns = {{ text = 'summary' }}\n").values()
            rejected_rows.retry_rejected(newsroom, {"bbc": without}, lambda _: "")
            assert len(rejected_rows.list_rejected(newsroom)) == 1, "a row of a task that the source no longer names"
            rejected_rows.retry_rejected(newsroom, {"bbc": source}, lambda _: "")
        assert annotations(newsroom)["place", "a"] == ["france", "uk"]

    def test_a_query_gives_lists_and_divided_texts(self, newsroom, tmp_path, declare):
        with sqlite3.connect(tmp_path / "cms.db") as database:
            database.execute("CREATE TABLE news (id, text, places)")
            database.executemany("INSERT INTO news VALUES (?, ?, ?)", [("a", "one", "uk;france"), ("b", "two", None)])
        (source,) = declare(
            f"[sources.cms]\nkind = 'sql'\nurl = 'sqlite:///{tmp_path / 'cms.db'}'\nquery = 'SELECT * FROM news'\n"
            "separator = ';'\ncolumns = { id = 'id', category = { place = 'places' } }\n"
        ).values()
        declared_sources.ingest_source(newsroom, source, lambda declaration: declaration.url)
        assert annotations(newsroom) == {("place", "a"): ["france", "uk"]}

    def test_an_array_of_postgres_is_a_list(self, newsroom, declare):
        url = newsroom.database.url.set(password=None).render_as_string(hide_password=False)
        (source,) = declare(
            f"[sources.cms]\nkind = 'sql'\nurl = '{url}'\n"
            "query = \"SELECT 'a' AS id, 'one' AS text, ARRAY['uk', NULL, 'france'] AS places\"\n"
            "columns = { id = 'id', category = { place = 'places' } }\n"
        ).values()
        full = newsroom.database.url.render_as_string(hide_password=False)
        declared_sources.ingest_source(newsroom, source, lambda _: full)
        assert annotations(newsroom) == {("place", "a"): ["france", "uk"]}


def test_the_inbox_takes_the_columns_of_tasks_and_reads_a_file_once(newsroom, tmp_path):
    (tmp_path / "in").mkdir()
    write_lines(tmp_path / "in" / "x.jsonl", *ROWS)
    pattern, options = str(tmp_path / "in" / "*"), IngestOptions(BOTH)
    assert inbox.ingest_inbox(newsroom, pattern, options).annotations == 6
    assert inbox.ingest_inbox(newsroom, pattern, options).read == 0
    fewer = IngestOptions(Columns(id="id", categories=(PLACE,)))
    assert inbox.ingest_inbox(newsroom, pattern, fewer).read == 5


def test_a_check_shows_the_categories_of_each_task(tmp_path):
    path = write_lines(tmp_path / "x.jsonl", *ROWS)
    (check,) = checks.check_files([path], IngestOptions(BOTH))
    assert (check.rows, check.problem) == (5, None)
    shown = [(row.get("category of topic"), row.get("category of place")) for row in check.examples]
    assert shown[:3] == [("sport", "france, uk"), ("business", "(none of them)"), (None, None)]


def test_options_without_tasks_are_stored_and_hashed_as_before():
    options = IngestOptions(Columns("text", "category", "id"))
    assert "categories" not in options.to_json()["columns"]
    assert IngestOptions.from_json(json.loads(json.dumps(options.to_json()))) == options
    mapped = IngestOptions(BOTH, file_format=FileFormat(separator=";"), task_ids={"category of topic": 1})
    assert IngestOptions.from_json(json.loads(json.dumps(mapped.to_json()))) == mapped
