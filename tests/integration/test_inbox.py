"""The inbox is read every hour: the state of each file is saved with its rows, as for declared sources."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from classifier.exceptions import SourceError
from classifier.ingest.columns import Columns
from classifier.ingest.file_format import FileFormat
from classifier.ingest.splits import Proportions
from classifier.pipeline.ingest import inbox
from classifier.pipeline.ingest.units import IngestOptions, IngestReport, ingest_files
from classifier.store import ingest_runs, source_states
from tests.support.synthetic import COLUMNS, articles, dump, ingest_file, query, value, write_csv

OPTIONS = IngestOptions(COLUMNS)
OLD = datetime(2024, 1, 1, tzinfo=UTC).timestamp()


class KilledError(BaseException):
    """Simulates the end of the process."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def ingest(workspace, folder):
    return lambda options=OPTIONS, **more: inbox.ingest_inbox(workspace, f"{folder}/*", options, **more)


def drop(path, rows, *, at=OLD):
    """Write a file with an old time of its last change."""
    write_csv(path, rows)
    os.utime(path, (at, at))
    return path


def test_unchanged_files_are_not_opened_again(workspace, ingest, folder, monkeypatch):
    drop(folder / "a.csv", articles(5))
    drop(folder / "b.csv", articles(5, prefix="b"))
    assert ingest() == IngestReport(files=2, read=10, new=10, annotations=10)
    before = dump(workspace.database)
    monkeypatch.setattr("classifier.ingest.object_store.hash_file", None)
    assert ingest() == IngestReport()
    assert dump(workspace.database) == before
    assert query(workspace.database, "SELECT status, files FROM ingest_runs ORDER BY id") == [
        ("succeeded", 2),
        ("succeeded", 0),
    ]


def test_files_with_a_new_time_but_the_same_bytes_are_not_ingested_again(ingest, folder):
    path = drop(folder / "a.csv", articles(5))
    ingest()
    os.utime(path, (OLD + 99, OLD + 99))
    assert ingest() == IngestReport()


def test_only_new_and_changed_files_are_read(ingest, folder):
    drop(folder / "a.csv", articles(5))
    drop(folder / "b.csv", articles(5, prefix="b"))
    ingest()
    drop(folder / "b.csv", articles(6, prefix="b"), at=OLD + 9)
    drop(folder / "c.csv", articles(2, prefix="c"))
    assert ingest() == IngestReport(files=2, read=8, new=3, unchanged=5, annotations=3)


@pytest.mark.parametrize(
    "other",
    [
        replace(OPTIONS, columns=replace(COLUMNS, category=None)),
        replace(OPTIONS, source="news"),
        replace(OPTIONS, file_format=FileFormat(encoding="cp1252")),
    ],
)
def test_files_are_read_again_with_other_options(ingest, folder, other):
    drop(folder / "a.csv", articles(5))
    ingest()
    assert ingest(other).read == 5


def test_options_that_change_no_row_cause_no_reading(ingest, folder):
    drop(folder / "a.csv", articles(5))
    ingest()
    assert ingest(replace(OPTIONS, max_rejected=1, proportions=Proportions(1, 0, 0))) == IngestReport()


PLAIN = IngestOptions(Columns(text="text"))


def test_a_run_without_options_reads_old_and_new_files_as_before(workspace, ingest, folder):
    drop(folder / "a.csv", articles(5))
    ingest()
    assert ingest(PLAIN, as_before=True) == IngestReport()
    drop(folder / "b.csv", articles(5, prefix="b"))
    drop(folder / "a.csv", articles(6), at=OLD + 9)
    report = IngestReport(files=2, read=11, new=6, unchanged=5, annotations=6)
    assert ingest(PLAIN, as_before=True) == report
    assert ingest(PLAIN, as_before=True) == IngestReport()


def test_a_first_run_without_options_has_the_default_ones(ingest, folder):
    drop(folder / "a.csv", articles(5))
    assert ingest(PLAIN, as_before=True) == IngestReport(files=1, read=5, new=5, enqueued=5)


@pytest.mark.parametrize("source_name", [None, "news"])
def test_a_file_that_was_named_by_itself_is_not_ingested_again_without_its_annotations(workspace, folder, source_name):
    opened = replace(workspace, settings=workspace.settings.model_copy(update={"inbox": str(folder)}))
    path = drop(folder / "a.csv", articles(5))
    ingest_files(opened, str(path), replace(OPTIONS, source=source_name))
    drop(folder / "plain.csv", [{"text": row["text"]} for row in articles(2, prefix="plain")])
    for files in (1, 0):
        assert inbox.ingest_inbox(opened, f"{folder}/*", PLAIN, as_before=True).files == files
    drop(path, articles(6), at=OLD + 9)
    again = inbox.ingest_inbox(opened, f"{folder}/*", PLAIN, as_before=True)
    assert (again.new, again.unchanged, again.annotations) == (1, 5, 1)
    assert inbox.ingest_inbox(opened, f"{folder}/*", PLAIN, as_before=True) == IngestReport()
    assert value(workspace.database, "SELECT count(*) FROM articles") == 8


def test_a_crash_before_the_state_is_saved_loses_nothing(workspace, ingest, folder, monkeypatch):
    drop(folder / "a.csv", articles(5))

    def die(*_):
        raise KilledError

    for module, function in ((source_states, "save"), (ingest_runs, "add_to_run")):
        with monkeypatch.context() as patch:
            patch.setattr(module, function, die)
            with pytest.raises(KilledError):
                ingest()
        assert value(workspace.database, "SELECT count(*) FROM articles") == 0
        assert value(workspace.database, "SELECT count(*) FROM source_state") == 0
    assert ingest().new == 5


def test_a_refused_file_is_retried(ingest, folder):
    drop(folder / "a.csv", [*articles(5), {"id": "", "text": "bad", "category": ""}])
    for _ in range(2):
        with pytest.raises(SourceError, match="1 of 6 rows are invalid"):
            ingest()
    assert ingest(replace(OPTIONS, max_rejected=1)).new == 5


def test_a_file_that_cannot_be_read_does_not_stop_the_others(ingest, folder):
    (folder / "a.csv").symlink_to(folder / "gone.csv")
    (folder / "b.csv").write_text("other\n1\n")
    drop(folder / "c.csv", articles(5))
    with pytest.raises(SourceError, match=r"2 files were not ingested: .*a\.csv: cannot be read .*b\.csv: no"):
        ingest()
    (folder / "a.csv").unlink()
    (folder / "b.csv").unlink()
    assert ingest() == IngestReport(), "c.csv was read by the first run"


def test_a_file_that_changes_while_it_is_read_is_left_for_the_next_run(workspace, ingest, folder):
    path = drop(folder / "a.csv", articles(5))
    with pytest.raises(SourceError, match="changed while it was read"):
        ingest(on_rows=lambda _: path.write_text("id,text,category\n"))
    assert value(workspace.database, "SELECT count(*) FROM articles") == 0


def test_files_named_on_the_command_line_are_always_read(workspace, ingest, folder):
    path = drop(folder / "a.csv", articles(5))
    ingest()
    for _ in range(2):
        assert ingest_file(workspace, path) == IngestReport(files=1, read=5, unchanged=5)


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        IngestOptions(COLUMNS, "s", Proportions(1, 0, 0), 0.5, FileFormat("cp1252", ";", 2, date_format="%d/%m/%Y")),
        IngestOptions(COLUMNS, file_format=FileFormat(header=False, column_names=("a", "b"), split_folders=True)),
    ],
)
def test_the_options_of_a_run_are_stored_and_read_again(options):
    assert IngestOptions.from_json(json.loads(json.dumps(options.to_json()))) == options


def test_the_options_of_runs_of_earlier_versions_are_read():
    stored = {**OPTIONS.to_json(), "encoding": "cp1252"}
    del stored["file_format"]
    assert IngestOptions.from_json(stored).file_format == FileFormat("cp1252")
