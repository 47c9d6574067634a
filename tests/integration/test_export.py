"""`classifier export` writes each label once, complete or not at all, and tells what to ask for next time."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from classifier.cli import app as cli
from classifier.exceptions import ExportError
from classifier.pipeline.labelling import label_export
from classifier.pipeline.labelling.label_export import ExportTarget
from classifier.settings import Settings
from classifier.store import connections, model_rows, reviews, views
from classifier.store.article_labels import LabelSelection
from classifier.workspace import Workspace
from tests.support import memory, multi_label, predictions
from tests.support.synthetic import add_articles, annotate, query, run, value

COLUMNS = [column.name for column in views.article_labels.c]
ALL = LabelSelection()


@pytest.fixture
def labelled(workspace):
    """Six articles of two sources: one is annotated, one waits, the others have predictions of m1."""
    with workspace.database.begin() as connection:
        rows = [
            ("=1+1", "formula", "train"),
            ("a,b", "comma", "test"),
            ('"q"', "quote", "train"),
            ("é\n", "umlaut", "train"),
        ]
        ids = add_articles(connection, rows)
        ids += add_articles(connection, [("w", "waits", "train"), ("n", "annotated", "train")], source="other")
        predictions.label(connection, ids[:4])
        annotate(connection, ids[5], "=b")
    return ids


@pytest.fixture
def export(workspace, tmp_path):
    """Return a function that exports to a file of the test's folder."""

    def write(name: str = "labels.csv", selection: LabelSelection = ALL, **more) -> Path:
        label_export.export_labels(workspace, selection, ExportTarget(str(tmp_path / name), **more))
        return tmp_path / name

    return write


def view_rows(workspace):
    rows = query(workspace.database, "SELECT * FROM article_labels WHERE label IS NOT NULL ORDER BY article_id")
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def ids_of(path):
    return [int(row["article_id"]) for row in read_csv(path)]


def test_parquet_has_the_columns_types_and_rows_of_the_view(workspace, labelled, export):
    table = pyarrow.parquet.read_table(export("labels.parquet"))
    assert table.column_names == COLUMNS
    assert str(table.schema.field("labelled_at").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("confidence").type) == "float"
    expected = view_rows(workspace)
    for row in expected:
        row["confidence"] = row["confidence"] and float(np.float32(row["confidence"]))
    assert table.to_pylist() == expected


def test_json_lines_have_the_rows_of_the_view(workspace, labelled, export):
    lines = export("labels.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        for name in ("labelled_at", "published_at"):
            row[name] = row[name] and datetime.fromisoformat(row[name])
    assert rows == view_rows(workspace)


def test_csv_has_the_rows_of_the_view_and_empty_cells_for_null(workspace, labelled, export):
    rows = read_csv(export(exact=True))
    for row, expected in zip(rows, view_rows(workspace), strict=True):
        assert row["external_id"] == expected["external_id"]
        assert datetime.fromisoformat(row["labelled_at"]) == expected["labelled_at"]
        assert row["confidence"] == (
            "" if expected["confidence"] is None else f"{expected['confidence']:.9g}".rstrip("0")
        )
        assert (row["published_at"], row["abstained"]) == ("", "false")


def test_a_spreadsheet_program_evaluates_no_cell_unless_cells_are_to_be_exact(labelled, export):
    guarded = read_csv(export())
    assert guarded[0]["external_id"] == "'=1+1"
    assert guarded[-1]["label"] == "'=b"
    exact = read_csv(export("exact.csv", exact=True))
    assert exact[0]["external_id"] == "=1+1"
    assert exact[-1]["label"] == "=b"


def test_the_text_is_written_only_on_request(labelled, export):
    assert "text" not in read_csv(export())[0]
    rows = read_csv(export("texts.csv", LabelSelection(with_text=True)))
    assert [row["text"] for row in rows] == ["formula", "comma", "quote", "umlaut", "annotated"]


def test_source_and_publication_time_restrict_the_rows(workspace, labelled, export):
    run(workspace.database, "UPDATE articles SET published_at = '2020-01-01T00:00Z' WHERE id = :id", id=labelled[0])
    assert ids_of(export("source.csv", LabelSelection(source="other"))) == [labelled[5]]
    since = LabelSelection(since=datetime(2020, 1, 2, tzinfo=UTC))
    assert labelled[0] not in ids_of(export("since.csv", since))
    at = LabelSelection(since=datetime(2020, 1, 1, tzinfo=UTC))
    assert labelled[0] in ids_of(export("at.csv", at))


def test_standard_output_is_csv_and_standard_error_tells_what_to_ask_for_next_time(workspace, labelled, classifier):
    url = workspace.database.url.render_as_string(hide_password=False)
    done = classifier("export", CLASSIFIER_DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [int(row["article_id"]) for row in rows] == [*labelled[:4], labelled[5]]
    moment = done.stderr.split()[-1]
    assert done.stderr.startswith("5 labels; next time: --changed-since 20")
    again = classifier("export", "--changed-since", moment, "--format", "jsonl", CLASSIFIER_DATABASE_URL=url)
    assert again.returncode == 0, again.stderr


class TestChangedSince:
    """What an export of changes has, after a first export of everything."""

    @pytest.fixture
    def changed(self, workspace, labelled, tmp_path):  # noqa: ARG002 - the labels must be there
        """Return a function that exports the labels that changed since the fixture was set up, an hour ago."""
        past = datetime.now(UTC) - timedelta(hours=1)
        for table, column in (
            ("predictions", "predicted_at"),
            ("annotations", "annotated_at"),
            ("articles", "changed_at"),
            ("models", "promoted_at"),
        ):
            run(workspace.database, f"UPDATE {table} SET {column} = :past", past=past)
        moment = past + timedelta(minutes=1)

        def export():
            path = tmp_path / "changes.csv"
            target = ExportTarget(str(path), overwrite=True)
            label_export.export_labels(workspace, LabelSelection(changed_since=moment), target)
            return {int(row["article_id"]): row["label"] for row in read_csv(path)}

        return export

    def test_nothing_changed(self, changed):
        assert changed() == {}

    def test_a_new_label(self, workspace, labelled, changed):
        with workspace.database.begin() as connection:
            annotate(connection, labelled[4], "a")
        assert changed() == {labelled[4]: "a"}

    def test_annotators_who_disagree_now(self, workspace, labelled, changed):
        with workspace.database.begin() as connection:
            annotate(connection, labelled[5], "a", "someone else")
        assert set(changed()) == {labelled[5]}

    def test_a_retracted_annotation(self, workspace, labelled, changed):
        run(
            workspace.database,
            "UPDATE annotations SET retracted_at = now(), retracted_by = 'ann' WHERE article_id = :id",
            id=labelled[5],
        )
        assert set(changed()) == {labelled[5]}

    def test_a_changed_text_that_waits_has_no_label(self, workspace, labelled, changed):
        run(
            workspace.database,
            "UPDATE articles SET text = 'new', revision = 2, changed_at = now() WHERE id = :id",
            id=labelled[0],
        )
        assert changed() == {labelled[0]: ""}

    def test_a_new_article_that_waits_is_left_out(self, workspace, changed):
        with workspace.database.begin() as connection:
            add_articles(connection, [("x", "x", "train")])
        assert changed() == {}

    def test_a_promotion_and_a_rollback_change_every_prediction(self, workspace, labelled, changed):
        with workspace.database.begin() as connection:
            predictions.label(connection, labelled[:2], "m2", seed=1)
        assert set(changed()) == set(labelled[:5])
        run(workspace.database, "UPDATE predictions SET predicted_at = now() - interval '1 hour'")
        with workspace.database.begin() as connection:
            model_rows.make_champion(connection, value(workspace.database, "SELECT id FROM models WHERE name = 'm1'"))
        assert all(changed()[article_id] for article_id in labelled[:4])

    def test_a_transaction_that_is_open_during_an_export_is_in_the_next(self, workspace, labelled, tmp_path):
        with workspace.database.connect() as writing:
            annotate(writing, labelled[4], "a")  # its time is that of its transaction's start
            first = label_export.export_labels(workspace, ALL, ExportTarget(str(tmp_path / "1.csv")))
            writing.commit()
        assert labelled[4] not in ids_of(tmp_path / "1.csv")
        since = LabelSelection(changed_since=first.next_changed_since)
        label_export.export_labels(workspace, since, ExportTarget(str(tmp_path / "2.csv")))
        assert labelled[4] in ids_of(tmp_path / "2.csv")

    def test_a_role_that_cannot_see_other_transactions_goes_back_an_hour(self, workspace, labelled, tmp_path):
        run(workspace.database, "CREATE ROLE only_reads LOGIN")
        try:
            run(workspace.database, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO only_reads")
            url = workspace.database.url.set(username="only_reads").render_as_string(hide_password=False)
            engine = connections.connect(url)
            reader = Workspace(engine, Settings(home=tmp_path / "home", _env_file=None))
            with workspace.database.connect() as writing:
                annotate(writing, labelled[4], "a")
                report = label_export.export_labels(reader, ALL, ExportTarget(str(tmp_path / "x.csv")))
            engine.dispose()
            assert report.next_changed_since < datetime.now(UTC) - timedelta(minutes=59)
        finally:
            run(workspace.database, "DROP OWNED BY only_reads")
            run(workspace.database, "DROP ROLE only_reads")


def test_an_existing_file_is_kept_unless_it_is_to_be_overwritten(labelled, export, tmp_path):
    (tmp_path / "labels.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(ExportError, match=r"labels\.csv: exists already; name another file, or add --overwrite$"):
        export()
    assert (tmp_path / "labels.csv").read_text(encoding="utf-8") == "mine"
    assert len(read_csv(export(overwrite=True))) == 5


def test_an_export_that_ends_early_leaves_the_former_file_and_no_part(workspace, labelled, tmp_path):
    path = tmp_path / "out" / "labels.csv"
    path.parent.mkdir()
    path.write_text("mine", encoding="utf-8")

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label_export.export_labels(workspace, ALL, ExportTarget(str(path), overwrite=True), on_rows=stop)
    assert path.read_text(encoding="utf-8") == "mine"
    assert [entry.name for entry in path.parent.iterdir()] == ["labels.csv"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (ExportTarget("labels.txt"), r"^labels\.txt: must end with \.csv, \.jsonl or \.parquet"),
        (ExportTarget("labels.csv", "xml"), r"^format 'xml': unknown; choose from csv, jsonl, parquet$"),
        (ExportTarget("-", "parquet"), r"^parquet: cannot be written to a pipe; name a file"),
        (ExportTarget("/", "csv"), r"^/: is a folder; name a file in it"),
        (ExportTarget("none/labels.csv"), r"^none/labels\.csv: cannot be written \(No such file or directory\)"),
        (ExportTarget("/dev/full", "csv"), r"^/dev/full: cannot be written \(No space left on device\)"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(workspace, labelled, target, expected):
    with pytest.raises(ExportError, match=expected):
        label_export.export_labels(workspace, ALL, target)


@pytest.mark.parametrize("moment", ["2026-11-29", "2026-11-29T20:15:04Z", "2026-11-29T20:15:04.125000+00:00"])
def test_a_time_may_have_the_form_of_a_label(workspace, monkeypatch, tmp_path, moment):
    monkeypatch.setenv("CLASSIFIER_DATABASE_URL", workspace.database.url.render_as_string(hide_password=False))
    arguments = ["export", str(tmp_path / "x.csv"), "--changed-since", moment, "--since", moment]
    assert CliRunner().invoke(cli.app, arguments, catch_exceptions=False).exit_code == 0


def export_all(url: str, folder: str, kind: str) -> int:
    """Export all labels, and return their number."""
    workspace = Workspace(connections.connect(url), Settings(home=Path(folder), _env_file=None))
    target = ExportTarget(f"{folder}/labels.{kind}", overwrite=True)
    return label_export.export_labels(workspace, ALL, target).labels


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_number_of_labels(workspace, history, tmp_path, kind):
    url = workspace.database.url.render_as_string(hide_password=False)
    few = memory.measured(export_all, url, str(tmp_path), kind)
    run(
        workspace.database,
        predictions.INSERT_ARTICLES.replace("generate_series(1, 20000)", "generate_series(20001, 120000)"),
    )
    statement = f"{predictions.INSERT_PREDICTIONS} WHERE external_id::int > 20000"
    run(workspace.database, statement, model=history)
    many = memory.measured(export_all, url, str(tmp_path), kind)
    assert (few.result, many.result) == (20_000, 120_000)
    assert many.mib < few.mib + 10


class TestSeveralTasks:
    """Two tasks about the same articles; the second one has several labels an article, or none."""

    @pytest.fixture
    def topics(self, workspace, labelled):
        run(workspace.database, "UPDATE tasks SET name = 'author'")
        topics = multi_label.add_task(workspace)
        rows = [(0.9, 0.8, 0.1), (0.1, 0.1, 0.1), (0.1, 0.1, 0.7), (0.1, 0.6, 0.1)]
        multi_label.add_champion(topics, labelled[:4], rows, categories=("=gold", "oil; gas", "ship"))
        return topics

    def test_all_tasks_are_exported_with_a_row_for_each_label(self, topics, labelled, export):
        rows = read_csv(export())
        of_topics = [(int(row["article_id"]), row["label"], row["origin"]) for row in rows if row["task"] == "topics"]
        first, second, third, fourth = labelled[:4]
        assert of_topics == [
            (first, "'=gold", "prediction"),
            (first, "oil; gas", "prediction"),
            (second, "", "prediction"),
            (third, "ship", "prediction"),
            (fourth, "oil; gas", "prediction"),
        ]
        assert sum(row["task"] == "author" for row in rows) == 5
        assert topics.task.name == "topics"

    def test_one_task_is_exported(self, topics, tmp_path):
        report = label_export.export_labels(topics, ALL, ExportTarget(str(tmp_path / "one.csv")))
        assert {row["task"] for row in read_csv(tmp_path / "one.csv")} == {"topics"}
        assert report.labels == 5

    @pytest.mark.usefixtures("topics")
    def test_a_row_for_each_article_has_lists(self, export, labelled):
        by_article = LabelSelection(task="topics", by_article=True)
        rows = read_csv(export("sets.csv", by_article))
        assert [(int(row["article_id"]), row["labels"], row["confidences"]) for row in rows] == [
            (labelled[0], '\'=gold; "oil; gas"', "0.9; 0.8"),
            (labelled[1], "(none)", ""),
            (labelled[2], "ship", "0.7"),
            (labelled[3], '"oil; gas"', "0.6"),
        ]
        lines = export("sets.jsonl", by_article).read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["labels"] for line in lines][:2] == [["=gold", "oil; gas"], []]
        table = pyarrow.parquet.read_table(export("sets.parquet", by_article))
        assert table.column("labels").to_pylist() == [["=gold", "oil; gas"], [], ["ship"], ["oil; gas"]]
        assert table.column_names == [column.name for column in views.article_label_sets.c]

    def test_changes_are_those_of_each_task(self, topics, labelled, export):
        since = datetime.now(UTC)
        with topics.database.begin() as connection:
            reviews.add_annotations(
                connection,
                {"ids": [labelled[1]], "revisions": [1], "categories": [[]], "annotators": ["ann"], "comments": [None]},
            )
        rows = read_csv(export("changes.csv", LabelSelection(changed_since=since)))
        changed = [(int(row["article_id"]), row["task"], row["label"], row["origin"]) for row in rows]
        assert changed == [(labelled[1], "topics", "", "annotation")]

    @pytest.mark.usefixtures("topics")
    def test_the_command_names_a_task_and_lists(self, command):
        code, printed, _ = command("export", "--task", "topics", "--by-article", "--format", "jsonl")
        assert (code, [json.loads(line)["task"] for line in printed.splitlines()]) == (0, ["topics"] * 4)
        code, _, error = command("export", "--task", "places")
        assert (code, error) == (2, "error: places: no such task; there are: author, topics\n")
