"""A file is ingested atomically and idempotently, and its texts are stored exactly."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from classifier.exceptions import SourceError, TooManyRejectedError
from classifier.ingest import readers
from classifier.ingest.readers import Columns
from classifier.ingest.splits import Proportions
from classifier.pipeline.ingest import units
from classifier.pipeline.ingest.units import IngestReport
from tests.support.synthetic import COLUMNS, articles, dump, ingest_file, query, run, unlabelled, value, write_csv
from tests.support.waiting import HANG_S

SPLIT_COLUMNS = Columns("text", "category", "id", "split")
AWKWARD = {
    "quotes": 'She said: "no" and \'yes\', "" and """',
    "newlines": "one\ntwo\r\nthree\n\n\rfour\n",
    "end of copy": "before\n\\.\nafter",
    "backslashes": r"C:\new\table \N \\N \x41 \u0041 \0",
    "null": r"\N",
    "commas": ",,;\t|,\t",
    "unicode": "Ünïcödé 世界 ﷽ e\u0301 \u200b\u202e\ufeff \x01\x1f\x7f\u0085\u2028",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈 \U0010ffff",
    "sql": "'); DROP TABLE articles; -- %s %(text)s :text {text}",
    "spaces": "  leading and trailing \t ",
    "NULL": "NULL",
    "braces": '{"a": [1, null]}',
}


def test_a_file_becomes_articles_annotations_and_a_queue(workspace, tmp_path):
    rows = articles(40) + unlabelled(10, prefix="u")
    report = ingest_file(workspace, tmp_path / "news.csv", rows)
    assert report == IngestReport(files=1, read=50, new=50, annotations=40, enqueued=10)
    assert query(workspace.database, "SELECT count(*), min(source), max(revision) FROM articles") == [(50, "news", 1)]
    assert query(workspace.database, "SELECT DISTINCT annotator FROM annotations") == [("source:news",)]
    waiting = query(
        workspace.database,
        "SELECT external_id FROM labelling_queue JOIN articles ON article_id = id WHERE priority = 0",
    )
    assert {identity for (identity,) in waiting} == {f"u{number}" for number in range(10)}
    assert query(workspace.database, "SELECT label, origin FROM article_labels WHERE external_id = 'a1'") == [
        ("sport", "annotation")
    ]


def test_ingesting_a_file_again_changes_no_row(workspace, tmp_path):
    rows = articles(60) + unlabelled(20, prefix="u")
    rows.append({"id": "", "text": "bad", "category": ""})
    ingest_file(workspace, tmp_path / "news.csv", rows)
    before = dump(workspace.database)
    assert [len(before[name]) for name in ("articles", "annotations", "labelling_queue", "rejected_rows")] == [
        80, 60, 20, 1,
    ]  # fmt: skip
    report = ingest_file(workspace, tmp_path / "news.csv")
    assert report == IngestReport(files=1, read=81, rejected=1, unchanged=80)
    assert dump(workspace.database) == before


def test_articles_of_a_file_without_ids_are_identified_by_their_text(workspace, tmp_path):
    columns = replace(COLUMNS, id=None)
    ingest_file(workspace, tmp_path / "news.csv", articles(9), columns)
    before = dump(workspace.database)
    assert ingest_file(workspace, tmp_path / "news.csv", list(reversed(articles(9))), columns).unchanged == 9
    assert dump(workspace.database) == before


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "jsonl", "parquet"])
def test_unusual_texts_are_stored_exactly(workspace, tmp_path, kind):
    path = tmp_path / f"awkward.{kind}"
    rows = [{"id": name, "text": text} for name, text in AWKWARD.items()]
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet

        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "tsv":
        quoted = (f'{row["id"]}\t"' + row["text"].replace('"', '""') + '"\n' for row in rows)
        path.write_text("id\ttext\n" + "".join(quoted), encoding="utf-8", newline="")
    else:
        write_csv(tmp_path / "awkward.csv", rows)
        if kind == "csv.gz":
            path.write_bytes(gzip.compress((tmp_path / "awkward.csv").read_bytes()))
    assert ingest_file(workspace, path, None, Columns("text", id="id")).new == len(AWKWARD)
    assert dict(query(workspace.database, "SELECT external_id, text FROM articles")) == AWKWARD
    lengths = query(workspace.database, "SELECT bool_and(text_hash = sha256(convert_to(text, 'UTF8'))) FROM articles")
    assert lengths == [(True,)]


def test_unusual_names_and_categories_are_stored_exactly(workspace, tmp_path):
    names = [name.strip() for name in AWKWARD.values()]
    visible = "Ünïcödé 世界 ﷽ é"
    categories = [name if name.isprintable() else visible for name in names]
    rows = [
        {"id": f"{name}", "text": "text", "category": category, "source": name}
        for name, category in zip(names, categories, strict=True)
    ]
    report = ingest_file(workspace, tmp_path / "x.csv", rows, replace(COLUMNS, source="source"))
    assert report.new == len(names)
    stored = query(
        workspace.database,
        "SELECT source, external_id, categories[1], annotator "
        "FROM articles JOIN annotations ON article_id = articles.id",
    )
    expected = zip(names, categories, strict=True)
    assert sorted(stored) == sorted((name, name, category, f"source:{name}") for name, category in expected)


def test_the_publication_time_is_stored(workspace, tmp_path):
    rows = [
        {"id": "1", "text": "t", "at": "2024-03-31T10:00:00+02:00"},
        {"id": "2", "text": "t", "at": ""},
        {"id": "3", "text": "t", "at": "0001-01-01"},
    ]
    ingest_file(workspace, tmp_path / "x.csv", rows, Columns("text", id="id", published_at="at"))
    stored = query(
        workspace.database, "SELECT (published_at AT TIME ZONE 'UTC')::text FROM articles ORDER BY external_id"
    )
    assert stored == [("2024-03-31 08:00:00",), (None,), ("0001-01-01 00:00:00",)]


class TestChangedText:
    @pytest.fixture
    def predicted(self, workspace, tmp_path):
        """An article with a prediction of the champion, outside the queue."""
        rows = unlabelled(30)
        ingest_file(workspace, tmp_path / "news.csv", rows)
        run(
            workspace.database,
            "INSERT INTO models (task_id, name, status, artefact, manifest_sha256, categories, training) "
            "VALUES ((SELECT id FROM tasks), 'm', 'champion', '', '', '{a}', '{}')",
        )
        run(
            workspace.database,
            "INSERT INTO predictions (article_id, model_id, revision, category_indices, confidence, probabilities) "
            "SELECT articles.id, models.id, 1, '{1}', 1, '{1}' FROM articles, models",
        )
        run(workspace.database, "DELETE FROM labelling_queue")
        return rows

    def test_waits_for_a_new_label_and_shows_no_stale_one(self, workspace, tmp_path, predicted):
        before = query(workspace.database, "SELECT id, split FROM articles ORDER BY id")
        predicted[4]["text"] = "another text"
        report = ingest_file(workspace, tmp_path / "news.csv", predicted)
        assert report == IngestReport(files=1, read=30, changed=1, unchanged=29, enqueued=1)
        stored = query(workspace.database, "SELECT id, revision, text FROM articles WHERE external_id = 'a4'")
        assert stored[0][1:] == (2, "another text")
        assert query(workspace.database, "SELECT article_id, priority FROM labelling_queue") == [(stored[0][0], 0)]
        unlabelled_ids = query(workspace.database, "SELECT external_id FROM article_labels WHERE label IS NULL")
        assert unlabelled_ids == [("a4",)]
        assert query(workspace.database, "SELECT id, split FROM articles ORDER BY id") == before
        assert value(workspace.database, "SELECT changed_at > ingested_at FROM articles WHERE external_id = 'a4'")

    def test_gets_a_new_annotation_if_its_source_names_the_same_category(self, workspace, tmp_path, predicted):
        rows = [{**row, "category": "sport"} for row in predicted]
        assert ingest_file(workspace, tmp_path / "news.csv", rows).annotations == 30
        rows[4]["text"] = "another text"
        report = ingest_file(workspace, tmp_path / "news.csv", rows)
        assert (report.changed, report.annotations, report.enqueued) == (1, 1, 0)
        assert query(workspace.database, "SELECT DISTINCT label, origin FROM article_labels") == [
            ("sport", "annotation")
        ]

    def test_keeps_its_articles_split(self, workspace, tmp_path):
        """The new text gets the article's split, so a later copy of the text does not get another one."""
        row = {"id": "1", "text": "one text", "category": ""}
        ingest_file(workspace, tmp_path / "x.csv", [row], proportions=Proportions(1, 0, 0))
        to_test = Proportions(0, 0, 1)
        ingest_file(workspace, tmp_path / "x.csv", [{**row, "text": "another text"}], proportions=to_test)
        copies = [{"id": "c", "text": "Another  TEXT", "category": ""}, {"id": "d", "text": "ONE text", "category": ""}]
        ingest_file(workspace, tmp_path / "copies.csv", copies, proportions=to_test)
        assert query(workspace.database, "SELECT split, count(*) FROM articles GROUP BY 1") == [("train", 3)]


def test_texts_that_differ_in_case_and_white_space_share_a_split(workspace, tmp_path):
    rows = [
        {"id": f"{number}{form}", "text": text, "category": ""}
        for number in range(40)
        for form, text in (("x", f"The team {number}"), ("y", f"  the\tTEAM\n{number} "), ("z", f"THE Team {number}"))
    ]
    ingest_file(workspace, tmp_path / "x.csv", rows, proportions=Proportions(0.4, 0.3, 0.3))
    per_text = query(
        workspace.database, "SELECT count(*), count(DISTINCT split) FROM articles GROUP BY fingerprint ORDER BY 1"
    )
    assert per_text == [(3, 1)] * 40
    assert value(workspace.database, "SELECT count(DISTINCT split) FROM articles") == 3


def test_other_proportions_do_not_move_a_stored_text(workspace, tmp_path):
    rows = unlabelled(30)
    ingest_file(workspace, tmp_path / "x.csv", rows, proportions=Proportions(1, 0, 0))
    ingest_file(workspace, tmp_path / "y.csv", rows, proportions=Proportions(0, 0, 1))
    assert query(workspace.database, "SELECT DISTINCT split FROM articles") == [("train",)]


def test_a_source_with_its_own_splits_keeps_them(workspace, tmp_path):
    rows = [{**row, "split": ("train", "validation", "TEST")[n % 3]} for n, row in enumerate(articles(30))]
    ingest_file(workspace, tmp_path / "x.csv", rows, SPLIT_COLUMNS)
    split_by_id = dict(query(workspace.database, "SELECT external_id, split FROM articles"))
    assert split_by_id == {row["id"]: row["split"].lower() for row in rows}
    moved = [{**row, "split": "train"} for row in rows]
    ingest_file(workspace, tmp_path / "x.csv", moved, SPLIT_COLUMNS)
    assert dict(query(workspace.database, "SELECT external_id, split FROM articles")) == split_by_id


def test_the_last_row_of_an_id_wins(workspace, tmp_path):
    rows = [{"id": "1", "text": f"version {number}", "category": f"c{number}"} for number in range(5)]
    report = ingest_file(workspace, tmp_path / "x.csv", rows)
    assert report == IngestReport(files=1, read=5, duplicates=4, new=1, annotations=1)
    assert query(workspace.database, "SELECT text, revision FROM articles") == [("version 4", 1)]
    assert query(workspace.database, "SELECT categories[1] FROM annotations") == [("c4",)]


def test_the_last_row_wins_across_chunks(workspace, tmp_path, small_chunks):
    rows = unlabelled(20) + [{**row, "text": "later"} for row in unlabelled(20)]
    ingest_file(workspace, tmp_path / "x.csv", rows)
    assert query(workspace.database, "SELECT DISTINCT text FROM articles") == [("later",)]


def test_the_same_id_of_two_sources_is_two_articles(workspace, tmp_path):
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(3))
    assert ingest_file(workspace, tmp_path / "y.csv", unlabelled(3)).new == 3


class TestBadRows:
    BAD = ({"id": "", "text": "no id", "category": "c"}, {"id": "e", "text": "  ", "category": "c"})

    def test_are_stored_once_with_their_reasons(self, workspace, tmp_path):
        report = ingest_file(workspace, tmp_path / "x.csv", [*articles(60), *self.BAD])
        assert (report.new, report.rejected) == (60, 2)
        ingest_file(workspace, tmp_path / "x.csv")
        kept = query(workspace.database, "SELECT source, position, reason, row FROM rejected_rows ORDER BY id")
        assert [row[:3] for row in kept] == [("x", "line 62", "id is empty"), ("x", "line 63", "text is empty")]
        assert json.loads(kept[0][3])["text"] == "no id"

    def test_refuse_the_file_if_there_are_too_many(self, workspace, tmp_path):
        ingest_file(workspace, tmp_path / "x.csv", articles(5))
        before = dump(workspace.database)
        rows = [*articles(30, seed=1), *self.BAD]
        with pytest.raises(TooManyRejectedError, match=r"x.csv: 2 of 32 rows are invalid, more than 5%"):
            ingest_file(workspace, tmp_path / "x.csv", rows)
        after = dump(workspace.database)
        assert len(after.pop("rejected_rows")) == 2
        before.pop("rejected_rows")
        assert after == before

    def test_are_accepted_up_to_the_limit(self, workspace, tmp_path):
        assert ingest_file(workspace, tmp_path / "x.csv", [*articles(38), *self.BAD]).new == 38

    def test_are_accepted_in_any_number_if_the_limit_is_one(self, workspace, tmp_path):
        assert ingest_file(workspace, tmp_path / "x.csv", list(self.BAD), max_rejected=1.0).rejected == 2

    @pytest.mark.usefixtures("small_chunks")
    def test_in_a_later_chunk_refuse_the_rows_of_earlier_chunks(self, workspace, tmp_path):
        with pytest.raises(TooManyRejectedError):
            ingest_file(workspace, tmp_path / "x.csv", [*articles(20), *self.BAD])
        assert dump(workspace.database, "articles", "splits", "labelling_queue") == {
            "articles": [], "splits": [], "labelling_queue": [],
        }  # fmt: skip


@pytest.fixture
def small_chunks(monkeypatch):
    """Read seven rows at a time."""
    original = readers.read_file
    monkeypatch.setattr(
        readers, "read_file", lambda path, columns, **options: original(path, columns, **options, chunk_rows=7)
    )


def test_a_file_that_is_cut_off_leaves_nothing_behind(workspace, tmp_path, small_chunks):
    rows = [{**row, "text": row["text"] * 20} for row in articles(1000)]
    packed = gzip.compress(write_csv(tmp_path / "x.csv", rows).read_bytes())
    (tmp_path / "x.csv.gz").write_bytes(packed[: len(packed) // 2])
    before = dump(workspace.database)
    seen = []
    with pytest.raises(SourceError, match="cut off"):
        units.ingest_files(workspace, str(tmp_path / "x.csv.gz"), units.IngestOptions(COLUMNS), on_rows=seen.append)
    assert len(seen) > 3, "some chunks were read before the end"
    assert dump(workspace.database) == before


def test_the_files_before_a_failed_one_stay_ingested(workspace, tmp_path):
    write_csv(tmp_path / "a.csv", articles(5))
    (tmp_path / "b.csv").write_text("id,other\n1,2\n")
    with pytest.raises(SourceError, match=r"b\.csv: no column 'text'"):
        ingest_file(workspace, tmp_path / "*.csv")
    assert value(workspace.database, "SELECT count(*) FROM articles") == 5


def test_overlapping_files_at_once_cause_no_deadlock_and_no_duplicates(workspace, tmp_path):
    """In several rounds, two files share all texts and half of the ids, in opposite orders."""
    ours, theirs = articles(400), articles(600)[200:]
    write_csv(tmp_path / "a.csv", ours)
    write_csv(tmp_path / "b.csv", list(reversed(theirs)))
    for round_number in range(3):
        with ThreadPoolExecutor(4) as pool:
            runs = [
                pool.submit(ingest_file, workspace, tmp_path / name, source="news")
                for name in ("a.csv", "b.csv", "b.csv", "a.csv")
            ]
            reports = [future.result(timeout=HANG_S) for future in runs]
        total = sum(reports, IngestReport())
        assert (total.new, total.changed) == ((0, 600) if round_number else (600, 0))
        counts = query(
            workspace.database,
            "SELECT count(*), count(DISTINCT external_id), count(DISTINCT fingerprint), max(revision) FROM articles",
        )
        assert counts == [(600, 600, 600, round_number + 1)]
        in_force = "SELECT count(*), count(DISTINCT article_id) FROM annotations_in_force"
        assert query(workspace.database, in_force) == [(600, 600)]
        # each round has other texts
        write_csv(tmp_path / "a.csv", [{**row, "text": f"{row['text']} {round_number}"} for row in ours])
        write_csv(tmp_path / "b.csv", [{**row, "text": f"{row['text']} {round_number}"} for row in reversed(theirs)])


class TestAnnotations:
    def test_remove_the_article_from_the_queue(self, workspace, tmp_path):
        rows = unlabelled(10)
        ingest_file(workspace, tmp_path / "x.csv", rows)
        rows[3]["category"] = "sport"
        report = ingest_file(workspace, tmp_path / "x.csv", rows)
        assert (report.annotations, report.unchanged, report.enqueued) == (1, 10, 0)
        assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 9
        labels = query(workspace.database, "SELECT label FROM article_labels WHERE external_id = 'a3'")
        assert labels == [("sport",)]

    def test_by_a_person_survive_ingesting_the_file_again(self, workspace, tmp_path):
        ingest_file(workspace, tmp_path / "x.csv", articles(3))
        run(
            workspace.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT id, (SELECT id FROM tasks), revision, ARRAY['corrected'], 'ann' "
            "FROM articles WHERE external_id = 'a1'",
        )
        assert ingest_file(workspace, tmp_path / "x.csv").annotations == 0
        label = "SELECT label FROM article_labels WHERE external_id = 'a1'"
        assert value(workspace.database, label) == "corrected"

    def test_of_a_source_follow_its_changes(self, workspace, tmp_path):
        rows = articles(3)
        ingest_file(workspace, tmp_path / "x.csv", rows)
        rows[1]["category"] = "politics"
        assert ingest_file(workspace, tmp_path / "x.csv", rows).annotations == 1
        assert value(workspace.database, "SELECT label FROM article_labels WHERE external_id = 'a1'") == "politics"
        assert value(workspace.database, "SELECT count(*) FROM annotations") == 4

    def test_are_not_removed_by_a_file_without_categories(self, workspace, tmp_path):
        ingest_file(workspace, tmp_path / "x.csv", articles(3))
        ingest_file(workspace, tmp_path / "x.csv", unlabelled(3))
        assert value(workspace.database, "SELECT count(*) FROM article_labels WHERE origin = 'annotation'") == 3


def test_the_temporary_tables_of_an_ingest_are_dropped(workspace, tmp_path):
    """The same pooled connection serves the next ingest."""
    for number in range(3):
        ingest_file(workspace, tmp_path / f"{number}.csv", articles(2))
    assert value(workspace.database, "SELECT count(*) FROM pg_class WHERE relname LIKE 'staged%'") == 0
