"""The review: which articles are asked for, how answers return, and how they are used."""

from __future__ import annotations

import csv

import pytest
from sqlalchemy import text

from classifier.exceptions import NoChampionError, ReviewError, SourceError
from classifier.pipeline.monitoring import status
from classifier.pipeline.review import conflicts, review_queue, sheets
from classifier.store import annotated_articles, model_rows, queries
from tests.support.predictions import INSERT_PREDICTIONS, label
from tests.support.query_plans import scanned
from tests.support.synthetic import add_articles, add_model, annotate, articles, ingest_file, query, run, value


@pytest.fixture
def labelled(workspace):
    """Return the ids by split of ninety articles, a third in each split, labelled by a champion."""
    with workspace.database.begin() as connection:
        splits = ("train", "validation", "test")
        ids = add_articles(connection, [(f"{n}", f"text number {n} here", splits[n % 3]) for n in range(90)])
        label(connection, ids)
    return {split: set(ids[index::3]) for index, split in enumerate(splits)}


@pytest.fixture
def sheet(workspace, tmp_path):
    """Fill the queue, export a sheet, and return a function that answers its rows."""
    numbers = iter(range(99))

    def answer(category, annotator="ann"):
        path = tmp_path / f"{next(numbers)}.csv"
        sheets.export_sheet(workspace, path)
        choose = category if callable(category) else lambda _: category
        filled = [{**row, "category": choose(row), "annotator": annotator} for row in rows_of(path)]
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(filled[0]))
            writer.writeheader()
            writer.writerows(filled)
        return path, sheets.import_sheet(workspace, path)

    return answer


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def queue(workspace, reason="reason <> 'audit'"):
    return {
        article_id for (article_id,) in query(workspace.database, f"SELECT article_id FROM review_queue WHERE {reason}")
    }


def used(workspace, split):
    with workspace.database.connect() as connection:
        return {article.id: article.category for article in annotated_articles.load_split(connection, split)}


class TestFill:
    def test_the_model_chooses_from_the_train_split_and_the_random_sample_from_all(self, workspace, labelled):
        report = review_queue.fill_queue(workspace, number=60, audit=90)
        assert queue(workspace) == labelled["train"]
        assert queue(workspace, "reason = 'audit'") == set().union(*labelled.values())
        assert (report.model, report.candidates, report.added["audit"], report.waiting) == ("m1", 90, 90, 90)

    @pytest.mark.usefixtures("labelled")
    def test_stops_at_the_size_of_the_queue(self, workspace):
        assert sum(review_queue.fill_queue(workspace, number=10, audit=5).added.values()) == 15
        assert review_queue.fill_queue(workspace, number=10, audit=5).added == {}
        added = review_queue.fill_queue(workspace, number=12, audit=5).added
        assert sum(added.values()) == 2
        assert len(queue(workspace)) == 12

    @pytest.mark.usefixtures("labelled")
    def test_stores_the_prediction_its_confidence_its_model_and_its_time(self, workspace):
        review_queue.fill_queue(workspace, number=10, audit=5)
        same = value(
            workspace.database,
            "SELECT count(*) FROM review_queue JOIN predictions USING (article_id, model_id, revision) "
            "JOIN models ON models.id = model_id "
            "WHERE review_queue.predicted_categories[1] = models.categories[category_indices[1]] "
            "AND review_queue.confidence = predictions.confidence AND queued_at > now() - interval '1 minute'",
        )
        assert same == 15

    def test_needs_a_champion(self, workspace):
        with pytest.raises(NoChampionError):
            review_queue.fill_queue(workspace)

    def test_of_an_empty_database_is_no_error(self, workspace):
        with workspace.database.begin() as connection:
            label(connection, [])
        assert review_queue.fill_queue(workspace).added == {}

    def test_skips_annotated_articles_and_changed_texts(self, workspace, labelled):
        annotated, changed, *_ = sorted(labelled["train"])
        with workspace.database.begin() as connection:
            annotate(connection, annotated, "a", "source:s")
            connection.execute(text("UPDATE articles SET revision = 2 WHERE id = :id"), {"id": changed})
        review_queue.fill_queue(workspace, number=90, audit=0)
        assert queue(workspace) == labelled["train"] - {annotated, changed}

    def test_replaces_the_questions_of_the_former_champion(self, workspace, labelled):
        review_queue.fill_queue(workspace, number=5, audit=0)
        with workspace.database.begin() as connection:
            label(connection, sorted(labelled["train"]), "m2", seed=1)
        report = review_queue.fill_queue(workspace, number=7, audit=0)
        assert (report.model, report.waiting) == ("m2", 7)

    def test_asks_for_one_near_duplicate_and_none_of_annotated_or_test_articles(self, workspace, tmp_path):
        base = " ".join(f"word{n}" for n in range(60))

        def near(topic, number):
            return f"{topic} {base.replace('word', topic)} {number}"

        rows = [{"id": f"{topic}{n}", "text": near(topic, n), "category": ""} for topic in "xyz" for n in range(3)]
        rows[3]["category"] = "a"
        rows += [{"id": f"alone{n}", "text": f"an article alone{n} by itself{n}", "category": ""} for n in range(5)]
        ingest_file(workspace, tmp_path / "x.csv", rows)
        run(workspace.database, "UPDATE clusters SET split = 'train'; UPDATE articles SET split = 'train'")
        run(workspace.database, "UPDATE articles SET split = 'test' WHERE external_id = 'z2'")
        with workspace.database.begin() as connection:
            label(connection, [article_id for (article_id,) in connection.execute(text("SELECT id FROM articles"))])
        for _ in range(2):
            review_queue.fill_queue(workspace, number=90, audit=0)
            asked = query(
                workspace.database, "SELECT external_id FROM review_queue JOIN articles ON id = article_id ORDER BY 1"
            )
            names = [name for (name,) in asked]
            assert names[:-1] == [f"alone{n}" for n in range(5)]
            assert names[-1].startswith("x")

    def test_samples_a_large_table_without_reading_all_of_it(self, workspace, monkeypatch):
        with workspace.database.begin() as connection:
            model = add_model(connection, "m")
            model_rows.make_champion(connection, model)
            connection.execute(
                text(
                    "INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split) "
                    "SELECT 's', n, 'text', '', int8send(n), 'train' FROM generate_series(1, 20000) AS n"
                )
            )
            connection.execute(text(INSERT_PREDICTIONS), {"model": model})
            connection.execute(
                text(
                    "INSERT INTO clusters (id, split) SELECT id, 'train' FROM articles; "
                    "INSERT INTO splits (fingerprint, split, cluster_id) "
                    "SELECT fingerprint, 'train', id FROM articles; "
                    "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
                    "SELECT id, (SELECT id FROM tasks), revision, ARRAY['a'], 'source:s' FROM articles WHERE id % 2 = 0"
                )
            )
        monkeypatch.setattr(review_queue, "MAX_CANDIDATES", 5000)
        run(workspace.database, "ANALYZE articles")
        assert 3000 < review_queue.fill_queue(workspace, number=300, audit=50).candidates < 7000
        with workspace.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        ids = f"{{{','.join(map(str, range(1, 20000, 40)))}}}"
        for name in (
            "review_candidates",
            "review_candidate_texts",
            "waiting_reviews",
            "count_conflicts",
            "audited_predictions",
        ):
            statement = queries.sql(name).replace("%", "%%")
            values = {"ids": ids, "task_id": 1, "model_id": model, "since": None, "percent": 10}
            parameters = {key: value for key, value in values.items() if f":{key}" in statement}
            assert scanned(workspace.database, statement, **parameters) <= {
                "models",
                "cluster_bridges",
                "review_queue",
                "tasks",
            }, name


class TestSheets:
    @pytest.mark.usefixtures("labelled")
    def test_answers_train_the_next_model_and_never_test_it(self, workspace, sheet):
        review_queue.fill_queue(workspace, number=20, audit=0)
        chosen = queue(workspace)
        _, report = sheet("a")
        assert (report.new, report.unchanged, report.empty, report.invalid) == (20, 0, 0, ())
        assert used(workspace, "train") == dict.fromkeys(chosen, "a")
        assert used(workspace, "test") == used(workspace, "validation") == {}
        assert status.read_status(workspace).review.waiting == {}

    def test_random_articles_of_the_test_split_test_the_model_and_never_train_it(self, workspace, labelled, sheet):
        review_queue.fill_queue(workspace, number=0, audit=90)
        sheet("b")
        assert used(workspace, "test").keys() == labelled["test"]
        assert used(workspace, "train").keys() == labelled["train"]

    @pytest.mark.usefixtures("labelled")
    def test_importing_a_sheet_again_changes_nothing(self, workspace, sheet):
        review_queue.fill_queue(workspace, number=20, audit=5)
        path, first = sheet("a")
        before = query(workspace.database, "SELECT * FROM annotations ORDER BY id")
        again = sheets.import_sheet(workspace, path)
        assert (again.new, again.unchanged) == (0, first.new)
        assert query(workspace.database, "SELECT * FROM annotations ORDER BY id") == before

    @pytest.mark.usefixtures("labelled", "sheet")
    def test_the_annotator_the_time_and_the_comment_are_stored(self, workspace, tmp_path):
        review_queue.fill_queue(workspace, number=1, audit=0)
        sheets.export_sheet(workspace, tmp_path / "x.csv")
        content = (tmp_path / "x.csv").read_text(encoding="utf-8-sig").replace('"","",""', '"b","ann","a pun"')
        (tmp_path / "x.csv").write_text(content, encoding="utf-8")
        sheets.import_sheet(workspace, tmp_path / "x.csv")
        annotations = query(
            workspace.database, "SELECT categories[1], annotator, comment, is_resolution FROM annotations"
        )
        assert annotations == [("b", "ann", "a pun", False)]

    @pytest.mark.usefixtures("labelled")
    def test_randomly_drawn_articles_have_no_suggestion(self, workspace, tmp_path):
        review_queue.fill_queue(workspace, number=10, audit=20)
        sheets.export_sheet(workspace, tmp_path / "x.csv")
        rows = rows_of(tmp_path / "x.csv")
        assert {bool(row["suggested"]) for row in rows if "audit" in row["reason"]} == {False}
        assert {row["suggested"] for row in rows if "audit" not in row["reason"]} <= {"a", "b"}
        assert all(row["text"].startswith("text number") for row in rows)

    @pytest.mark.usefixtures("labelled")
    def test_an_existing_sheet_is_not_overwritten(self, workspace, tmp_path):
        review_queue.fill_queue(workspace, number=1, audit=0)
        (tmp_path / "x.csv").write_text("an annotator's work")
        with pytest.raises(ReviewError, match="exists already, and may hold answers"):
            sheets.export_sheet(workspace, tmp_path / "x.csv")
        assert (tmp_path / "x.csv").read_text() == "an annotator's work"

    def test_invalid_rows_are_reported_and_the_others_are_imported(self, workspace, labelled, tmp_path):
        review_queue.fill_queue(workspace, number=5, audit=0)
        first, second, third, *_ = sorted(queue(workspace))
        never = min(labelled["test"])
        run(workspace.database, f"UPDATE articles SET revision = 2 WHERE id = {second}")
        rows = [(first, 1, "a"), (second, 1, "a"), (third, 1, "B"), (never, 1, "a"), (10**9, 1, "a")]
        lines = [
            "id,revision,category,annotator",
            *(f"{article_id},{revision},{category},ann" for article_id, revision, category in rows),
        ]
        (tmp_path / "x.csv").write_text("\n".join(lines))
        report = sheets.import_sheet(workspace, tmp_path / "x.csv")
        assert (report.new, used(workspace, "train")) == (1, {first: "a"})
        assert [(row.line, row.reason) for row in report.invalid] == [
            (3, f"the text of article {second} has changed since; export it again"),
            (4, "category 'B' is unknown (did you mean 'b'?); name a new category with --new-category"),
            (5, f"article {never} was never in the review queue"),
            (6, "article 1000000000 was never in the review queue"),
        ]
        report = sheets.import_sheet(workspace, tmp_path / "x.csv", new_categories=["B"])
        assert (report.new, report.unchanged) == (1, 1)
        assert used(workspace, "train")[third] == "B"

    def test_a_missing_file_is_one_line(self, workspace, tmp_path):
        with pytest.raises(SourceError, match=r"x\.csv: .*[Nn]o such file"):
            sheets.import_sheet(workspace, tmp_path / "x.csv")


class TestConflicts:
    @pytest.fixture
    def disputed(self, workspace, labelled):
        """An article that ann annotates as a and bob as b."""
        review_queue.fill_queue(workspace, number=1, audit=0)
        (article,) = queue(workspace) & labelled["train"]
        with workspace.database.begin() as connection:
            annotate(connection, article, "a", "ann")
            annotate(connection, article, "b", "bob")
        run(workspace.database, "UPDATE articles SET title = 'A title', url = 'https://example.org'")
        return article

    def test_are_stored_listed_and_not_trained_on(self, workspace, disputed):
        (conflict,) = conflicts.list_conflicts(workspace)
        assert (conflict.article_id, conflict.effective_category) == (disputed, None)
        assert (conflict.title, conflict.url) == ("A title", "https://example.org")
        assert [(opinion.annotator, opinion.category) for opinion in conflict.opinions] == [("ann", "a"), ("bob", "b")]
        assert used(workspace, "train") == {}
        assert status.read_status(workspace).review.conflicts == 1

    def test_end_when_the_annotators_agree(self, workspace, disputed):
        with workspace.database.begin() as connection:
            annotate(connection, disputed, "b", "ann")
        assert conflicts.list_conflicts(workspace) == []
        assert used(workspace, "train") == {disputed: "b"}

    def test_end_with_a_decision_and_reopen_with_a_later_annotation(self, workspace, disputed):
        conflicts.resolve_conflict(workspace, disputed, ["a"], annotator="eve", comment="see the headline")
        assert conflicts.list_conflicts(workspace) == []
        assert used(workspace, "train") == {disputed: "a"}
        with workspace.database.begin() as connection:
            annotate(connection, disputed, "b", "bob")
        (conflict,) = conflicts.list_conflicts(workspace)
        assert [(opinion.annotator, opinion.comment) for opinion in conflict.opinions] == [
            ("eve", "see the headline"),
            ("bob", None),
        ]

    @pytest.mark.parametrize(
        ("category", "annotator", "problem"),
        [
            ("A", "eve", "category 'A' is unknown (did you mean 'a'?)"),
            ("a", " ", "a person"),
            ("a", "source:s", "a person"),
        ],
    )
    def test_are_resolved_by_a_person_with_a_known_category(self, workspace, disputed, category, annotator, problem):
        with pytest.raises(ReviewError) as caught:
            conflicts.resolve_conflict(workspace, disputed, [category], annotator=annotator)
        assert problem in str(caught.value)

    def test_cannot_be_resolved_without_an_annotation(self, workspace, labelled):
        with pytest.raises(ReviewError, match="no person has annotated it"):
            conflicts.resolve_conflict(workspace, min(labelled["train"]), ["a"], annotator="eve")


class TestAPersonAndASource:
    @pytest.fixture
    def corrected(self, workspace, tmp_path):
        """The source annotates sport, ann business, and then the source tech."""
        rows = articles(3)
        ingest_file(workspace, tmp_path / "x.csv", rows)
        run(
            workspace.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT id, (SELECT id FROM tasks), revision, ARRAY['business'], 'ann' FROM articles "
            "WHERE external_id = 'a1'",
        )
        rows[1]["category"] = "tech"
        ingest_file(workspace, tmp_path / "x.csv", rows)

    @pytest.mark.usefixtures("corrected")
    def test_the_persons_annotation_counts_even_if_it_is_older(self, workspace):
        label = "SELECT label FROM article_labels WHERE external_id = 'a1'"
        assert value(workspace.database, label) == "business"
        every = {**used(workspace, "train"), **used(workspace, "validation"), **used(workspace, "test")}
        assert sorted(every.values()) == ["business", "business", "tech"]

    @pytest.mark.usefixtures("corrected")
    def test_the_disagreement_is_stored_and_listed_on_request(self, workspace):
        assert conflicts.list_conflicts(workspace) == []
        (conflict,) = conflicts.list_conflicts(workspace, settled=True)
        assert conflict.effective_category == "business"
        assert {(opinion.annotator, opinion.category) for opinion in conflict.opinions} == {
            ("ann", "business"),
            ("source:x", "tech"),
        }


class TestAudit:
    @pytest.mark.usefixtures("labelled")
    def test_counts_drawn_reviewed_and_correct_labels(self, workspace, sheet):
        review_queue.fill_queue(workspace, number=20, audit=40)
        predicted = dict(
            query(
                workspace.database,
                "SELECT article_id::text, categories[category_indices[1]] "
                "FROM predictions JOIN models ON models.id = model_id",
            )
        )
        drawn = sorted(queue(workspace, "reason = 'audit'"))
        wrong, unseen = {str(article_id) for article_id in drawn[:4]}, {str(article_id) for article_id in drawn[4:10]}
        other = {"a": "b", "b": "a"}

        def choose(row):
            if row["id"] in unseen:
                return ""
            return other[predicted[row["id"]]] if row["id"] in wrong else predicted[row["id"]]

        sheet(choose)
        audit = review_queue.audit_model(workspace)
        assert (audit.model, audit.drawn, audit.reviewed, audit.correct) == ("m1", 40, 34, 30)
        assert audit.accuracy == pytest.approx(30 / 34)
        assert audit.interval[0] < audit.accuracy < audit.interval[1]

    @pytest.mark.usefixtures("labelled")
    def test_leaves_out_labels_before_a_time_and_conflicts(self, workspace, sheet):
        review_queue.fill_queue(workspace, number=0, audit=10)
        sheet("a")
        first, second, *_ = sorted(queue(workspace, "reason = 'audit'"))
        with workspace.database.begin() as connection:
            annotate(connection, first, "b", "bob")
            connection.execute(
                text("UPDATE review_queue SET queued_at = now() - interval '9 days' WHERE article_id = :id"),
                {"id": second},
            )
            week = connection.execute(text("SELECT now() - interval '7 days'")).scalar_one()
        assert (review_queue.audit_model(workspace).drawn, review_queue.audit_model(workspace).reviewed) == (10, 9)
        assert (
            review_queue.audit_model(workspace, since=week).drawn,
            review_queue.audit_model(workspace, since=week).reviewed,
        ) == (9, 8)

    def test_may_draw_articles_that_the_model_chose_and_people_annotated(self, workspace, labelled, sheet):
        """Without the articles that are difficult for the model, the estimate would be too high."""
        review_queue.fill_queue(workspace, number=30, audit=0)
        sheet("a")
        review_queue.fill_queue(workspace, number=0, audit=90)
        assert queue(workspace, "reason = 'audit'") == set().union(*labelled.values())
        assert review_queue.audit_model(workspace).reviewed == 30

    @pytest.mark.usefixtures("labelled")
    def test_of_a_model_without_reviewed_labels_has_no_accuracy(self, workspace):
        audit = review_queue.audit_model(workspace, "m1")
        assert (audit.drawn, audit.accuracy, audit.interval) == (0, None, (0.0, 1.0))
