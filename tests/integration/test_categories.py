"""Changes of categories: readers, models, reviews and training follow at once, and nothing stored is rewritten."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from classifier import registry
from classifier.exceptions import CategoryError, ReviewError, SettingsError
from classifier.pipeline.categories import changes, overview
from classifier.pipeline.database import active_tasks, tasks
from classifier.pipeline.labelling import classification, queue
from classifier.pipeline.promotion import evaluation, gate_result, model_details
from classifier.pipeline.review import annotation, review_queue
from classifier.review import selection
from classifier.store import annotated_articles, annotation_rows, category_rows, model_rows, reviews
from classifier.store.annotation_rows import AnnotationFilter
from tests.support.synthetic import articles, dump, ingest_file, make_champion, query, run, unlabelled, value
from tests.support.tiny_models import CATEGORIES, make_artefact

STORED = ("annotations", "predictions", "models")
LABELS = "SELECT external_id, label, confidence, origin FROM article_labels ORDER BY external_id"


@pytest.fixture
def labelled(workspace, tmp_path):
    """Thirty annotated and thirty other articles, which a champion has labelled."""
    ingest_file(workspace, tmp_path / "annotated.csv", articles(90))
    ingest_file(workspace, tmp_path / "new.csv", unlabelled(30, prefix="n"))
    make_champion(workspace, "m1", 0)
    queue.label_queue(workspace)
    return workspace


def change(workspace, kind, names, targets=(), **options):
    names = [names] if isinstance(names, str) else names
    targets = [targets] if isinstance(targets, str) else targets
    return changes.change_categories(workspace, kind, names, targets, changed_by="ann", **options)


def labels(workspace, origin="prediction"):
    return {row[0]: row[1:3] for row in query(workspace.database, LABELS) if row[3] == origin}


def train_sets(workspace):
    with workspace.database.connect() as connection:
        return {article.categories for article in annotated_articles.load_split(connection, "train")}


class TestRename:
    def test_labels_have_the_new_name_and_nothing_stored_changes(self, labelled):
        before, stored = labels(labelled), dump(labelled.database, *STORED)
        report = change(labelled, "rename", "sport", "games", reason="as the desk says")
        assert labels(labelled) == {
            key: ("games" if label == "sport" else label, confidence) for key, (label, confidence) in before.items()
        }
        assert {label for label, _ in labels(labelled, "annotation").values()} == {"business", "games", "tech"}
        assert dump(labelled.database, *STORED) == stored
        assert (report.annotated, report.by_people) == (30, 0)
        assert report.labels == sum(label == "sport" for label, _ in before.values())

    def test_every_reader_of_a_model_has_the_new_name(self, labelled):
        change(labelled, "rename", "sport", "games")
        model = classification.open_registered(labelled, None, engine="auto")
        assert {*next(model.classify(["the team"])).candidates} == {"business", "games", "tech"}
        figures = evaluation.evaluate(labelled, "m1")
        assert figures.unknown_categories == {}
        assert "games" in figures.metrics.by_category
        assert gate_result.apply_gate(labelled, "m1").model == "m1"
        with labelled.database.connect() as connection:
            assert {*train_sets(labelled)} == {("business",), ("games",), ("tech",)}
            assert registry.champion(connection).categories == CATEGORIES, "the model's own names stay"

    def test_a_source_may_still_deliver_the_former_name(self, labelled, tmp_path):
        change(labelled, "rename", "sport", "games")
        again = ingest_file(labelled, tmp_path / "annotated.csv", articles(90))
        assert (again.new, again.changed) == (0, 0)
        ingest_file(labelled, tmp_path / "more.csv", articles(9, prefix="m"))
        assert {label for label, _ in labels(labelled, "annotation").values()} == {"business", "games", "tech"}

    def test_lists_of_annotations_and_of_models_have_the_new_name(self, labelled):
        change(labelled, "rename", "sport", "games")
        with labelled.database.connect() as connection:
            listed = annotation_rows.newest(connection, AnnotationFilter(), limit=None)
        assert {name for row in listed for name in row.categories} == {"business", "games", "tech"}
        assert {*model_details.describe_model(labelled).categories} == {"business", "games", "tech"}

    def test_a_former_name_of_a_source_looks_like_no_other_category(self, labelled, tmp_path, caplog):
        change(labelled, "rename", "sport", "Sport")
        ingest_file(labelled, tmp_path / "more.csv", articles(9, prefix="m"))
        assert "differ only by case" not in caplog.text

    def test_a_repeated_answer_in_present_names_is_stored_once(self, labelled):
        review_queue.fill_queue(labelled, number=1, audit=0)
        article = annotation.next_question(labelled, "ann").article
        annotation.save_answer(labelled, article.id, article.revision, ["sport"], annotator="ann")
        change(labelled, "rename", "sport", "games")
        for name in ("games", "sport"):
            annotation.save_answer(labelled, article.id, article.revision, [name], annotator="ann")
        stored = "SELECT count(*) FROM annotations WHERE annotator = 'ann'"
        assert value(labelled.database, stored) == 1

    def test_a_model_whose_training_began_before_shows_the_new_name(self, labelled):
        change(labelled, "rename", "sport", "games")
        make_champion(labelled, "m2", 1)
        queue.label_queue(labelled)
        assert {label for label, _ in labels(labelled).values()} <= {"business", "games", "tech"}
        with labelled.database.begin() as connection:
            registry.roll_back(connection, "m1", "test", decided_by="ann")
        assert {label for label, _ in labels(labelled).values()} <= {"business", "games", "tech"}

    def test_thresholds_of_a_model_with_other_names_are_not_chosen_again(self, labelled):
        change(labelled, "rename", "sport", "games")
        with pytest.raises(SettingsError, match="categories of m1 were renamed or merged since"):
            evaluation.evaluate(labelled, "m1", target_precision=0.5)


class TestMerge:
    def test_the_label_is_what_the_model_decides_with_added_probabilities(self, labelled):
        change(labelled, "merge", ["sport", "tech"], "leisure")
        model = classification.open_registered(labelled, None, engine="auto")
        texts = dict(query(labelled.database, "SELECT external_id, text FROM articles WHERE external_id LIKE 'n%'"))
        expected = {
            key: (result.label, pytest.approx(result.confidence, abs=1e-6))
            for key, result in zip(texts, model.classify([*texts.values()]), strict=True)
        }
        shown = labels(labelled)
        assert shown == expected
        assert any(label == "leisure" for label, _ in shown.values())
        assert {*next(model.classify(["x"])).candidates} == {"business", "leisure"}

    def test_an_article_abstains_by_the_added_probability(self, labelled):
        run(labelled.database, "UPDATE models SET threshold = (SELECT max(confidence) FROM predictions)")
        threshold = value(labelled.database, "SELECT threshold FROM models")
        change(labelled, "merge", ["sport", "tech"], "leisure")
        shown = "SELECT confidence, abstained FROM article_labels WHERE model IS NOT NULL"
        rows = query(labelled.database, shown)
        assert {abstained for _, abstained in rows} == {False, True}, "some are sure enough now"
        assert all(abstained == (confidence < threshold) for confidence, abstained in rows)

    def test_evaluations_and_training_know_one_category(self, labelled):
        evaluation.evaluate(labelled, "m1")
        change(labelled, "merge", ["sport"], "tech")
        assert {*train_sets(labelled)} == {("business",), ("tech",)}
        figures = evaluation.evaluate(labelled, "m1")
        assert {*figures.metrics.by_category} == {"business", "tech"}
        assert figures.reused == figures.metrics.articles, "the network's outputs are not computed again"

    def test_reviews_show_the_label_that_readers_see(self, labelled):
        review_queue.fill_queue(labelled, number=10, audit=10)
        change(labelled, "merge", ["sport", "tech"], "leisure")
        with labelled.database.connect() as connection:
            waiting = reviews.waiting_reviews(connection, registry.champion(connection).id)
        shown = "SELECT article_id, label, confidence FROM article_labels"
        labels_of = {row[0]: row[1:] for row in query(labelled.database, shown)}
        assert waiting
        for row in waiting:
            label, confidence = labels_of[row.article_id]
            assert (row.predicted_categories, row.confidence) == ([label], pytest.approx(confidence))
        run(
            labelled.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT article_id, 1, 1, ARRAY['leisure'], 'ann' FROM review_queue WHERE reason = 'audit'",
        )
        drawn = [labels_of[row.article_id][0] for row in waiting if "audit" in row.reasons]
        assert review_queue.audit_model(labelled).correct == drawn.count("leisure")

    def test_the_queue_is_filled_by_categories_of_today(self, labelled, monkeypatch):
        change(labelled, "merge", ["sport", "tech"], "leisure")
        counts = json.dumps({"data": {"by_category": {"sport": 9, "tech": 1, "business": 9}}})
        run(labelled.database, "UPDATE models SET training = CAST(:counts AS jsonb)", counts=counts)
        shortlist, seen = selection.shortlist, []

        def spy(pool, number, annotated):
            seen.append((pool.categories, pool.probabilities.shape[1], annotated))
            return shortlist(pool, number, annotated)

        monkeypatch.setattr(selection, "shortlist", spy)
        assert sum(review_queue.fill_queue(labelled, number=10, audit=0).added.values()) > 0
        assert seen == [(("business", "leisure"), 2, {"leisure": 10, "business": 9})]

    def test_annotators_who_disagreed_on_the_two_agree(self, labelled):
        ids = [row[0] for row in query(labelled.database, "SELECT id FROM articles ORDER BY id LIMIT 1")]
        statement = (
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT :id, id, 1, ARRAY[:name], :by FROM tasks"
        )
        run(labelled.database, statement, id=ids[0], name="sport", by="ann")
        run(labelled.database, statement, id=ids[0], name="tech", by="bob")
        assert value(labelled.database, "SELECT count(*) FROM annotation_conflicts") == 1
        change(labelled, "merge", ["sport", "tech"], "leisure")
        assert value(labelled.database, "SELECT count(*) FROM annotation_conflicts") == 0
        changes.undo_change(labelled, changed_by="ann")
        assert value(labelled.database, "SELECT count(*) FROM annotation_conflicts") == 1


class TestSplit:
    @pytest.fixture
    def split(self, labelled):
        report = change(labelled, "split", "sport", ["football", "tennis"])
        assert (report.annotated, report.enqueued) == (30, 30)
        queue.label_queue(labelled)
        return labelled

    def test_annotated_articles_keep_the_label_until_a_new_champion_knows_the_parts(self, split):
        annotated = [label for label, _ in labels(split, "annotation").values()]
        assert annotated.count("sport") == 30
        parts = make_artefact(split.models / "m2", categories=("business", "football", "tech", "tennis"))
        with split.database.begin() as connection:
            model_rows.make_champion(connection, registry.register(connection, "m2", parts, {}).id)
        assert [label for label, _ in labels(split, "annotation").values()].count("sport") == 30, "not labelled yet"
        queue.label_queue(split)
        assert "sport" not in {label for label, _ in labels(split, "annotation").values()}
        assert len(labels(split)) == 60, "they have the new champion's labels"

    def test_a_source_that_repeats_the_old_annotation_does_not_end_the_wait_for_a_label(self, labelled, tmp_path):
        change(labelled, "split", "sport", ["football", "tennis"])
        assert value(labelled.database, "SELECT count(*) FROM labelling_queue") == 30
        ingest_file(labelled, tmp_path / "annotated.csv", articles(90))
        assert value(labelled.database, "SELECT count(*) FROM labelling_queue") == 30

    def test_an_annotation_that_the_split_one_superseded_does_not_count_again(self, labelled):
        article = value(labelled.database, "SELECT min(article_id) FROM annotations WHERE categories = '{tech}'")
        run(
            labelled.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT :id, 1, 1, ARRAY['sport'], 'ann'",
            id=article,
        )
        change(labelled, "split", "sport", ["football", "tennis"])
        counts = "SELECT categories FROM effective_annotations WHERE article_id = :id"
        assert query(labelled.database, counts, id=article) == []
        shown = "SELECT label, origin FROM article_labels WHERE article_id = :id"
        assert query(labelled.database, shown, id=article) == [("sport", "annotation")]
        changes.undo_change(labelled, changed_by="ann")
        assert query(labelled.database, counts, id=article) == [(["sport"],)]

    def test_the_list_counts_the_articles_that_wait_for_an_answer(self, split):
        listed = {row.category: row.annotated for row in overview.list_categories(split, closed=True)}
        assert listed == {"business": 30, "football": 0, "sport": 30, "tech": 30, "tennis": 0}

    def test_an_answer_that_a_split_one_has_superseded_can_be_given_again(self, labelled):
        article = value(labelled.database, "SELECT min(article_id) FROM annotations WHERE categories = '{tech}'")

        def answer(person, name):
            columns = {"ids": [article], "revisions": [1], "categories": [(name,)], "annotators": [person]}
            with labelled.database.begin() as connection:
                reviews.add_annotations(connection, {**columns, "comments": [None]})

        answer("ann", "tech")
        answer("bob", "sport")
        change(labelled, "split", "sport", ["football", "tennis"])
        answer("ann", "tech")
        counts = "SELECT categories FROM effective_annotations WHERE article_id = :id"
        assert query(labelled.database, counts, id=article) == [(["tech"],)]

    def test_no_model_learns_the_old_category(self, split):
        assert {*train_sets(split)} == {("business",), ("tech",)}

    def test_the_articles_are_asked_for_with_the_parts_to_choose_from(self, split):
        filled = review_queue.fill_queue(split, number=10, audit=0)
        assert filled.added["split"] == 10
        question = annotation.next_question(split, "ann")
        assert {"football", "tennis"} <= {*question.categories}
        assert "sport" not in question.categories
        with pytest.raises(ReviewError, match="category 'sport' was split into football, tennis; choose one of these"):
            annotation.save_answer(split, question.article.id, question.article.revision, ["sport"], annotator="ann")
        annotation.save_answer(split, question.article.id, question.article.revision, ["tennis"], annotator="ann")
        shown = "SELECT label FROM article_labels WHERE article_id = :id"
        assert value(split.database, shown, id=question.article.id) == "tennis"

    def test_an_undo_brings_the_annotations_back(self, split):
        make_champion(split, "m2", 1)
        change(split, "retire", "tech")
        changes.undo_change(split, changed_by="ann")
        with split.database.begin() as connection:
            category_rows.enqueue_split_articles(connection)
        changes.undo_change(split, changed_by="ann")
        assert {*train_sets(split)} == {("business",), ("sport",), ("tech",)}
        waiting = "SELECT count(*) FROM labelling_queue JOIN effective_annotations USING (article_id, task_id)"
        assert value(split.database, waiting) == 0, "an annotated article waits for no label"


class TestRetire:
    def test_no_model_learns_it_and_no_annotator_is_asked_for_it_but_labels_stay(self, labelled):
        before = query(labelled.database, LABELS)
        change(labelled, "retire", "tech")
        assert query(labelled.database, LABELS) == before
        assert {*train_sets(labelled)} == {("business",), ("sport",)}
        review_queue.fill_queue(labelled, number=5, audit=1)
        question = annotation.next_question(labelled, "ann")
        assert "tech" not in question.categories
        with pytest.raises(ReviewError, match="category 'tech' was retired"):
            annotation.save_answer(labelled, question.article.id, question.article.revision, ["tech"], annotator="ann")

    def test_a_restored_category_is_learned_again(self, labelled):
        change(labelled, "retire", "tech")
        change(labelled, "restore", "tech")
        assert ("tech",) in train_sets(labelled)

    def test_the_other_labels_of_an_article_stay_in_training(self, labelled):
        run(labelled.database, "UPDATE tasks SET kind = 'multi', min_labels = 0")
        run(labelled.database, "UPDATE annotations SET categories = ARRAY['sport', 'tech'] WHERE categories = '{tech}'")
        change(labelled, "retire", "tech")
        assert {*train_sets(labelled)} == {("business",), ("sport",)}


class TestChanges:
    def test_a_preview_counts_and_changes_nothing(self, labelled):
        before = dump(labelled.database, "tasks", "categories", "category_changes")
        report = change(labelled, "merge", ["sport", "tech"], "leisure", preview=True)
        assert (report.applied, report.annotated) == (False, 60)
        assert dump(labelled.database, "tasks", "categories", "category_changes") == before

    def test_a_refused_change_changes_nothing(self, labelled):
        before = dump(labelled.database, "tasks", "categories", "category_changes")
        for kind, names, targets in (("rename", "none", "x"), ("merge", "sport", "none"), ("retire", "none", ())):
            with pytest.raises(CategoryError):
                change(labelled, kind, names, targets)
        with pytest.raises(CategoryError, match="no change of its categories to take back"):
            changes.undo_change(labelled, changed_by="ann")
        with pytest.raises(CategoryError, match="control character"):
            change(labelled, "rename", "sport", "a\nb")
        assert dump(labelled.database, "tasks", "categories", "category_changes") == before

    def test_two_people_who_rename_at_once_both_find_their_change_in_the_history(self, labelled):
        def rename(name):
            change(labelled, "rename", name, f"{name} news")

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(rename, ("business", "sport", "tech")))
        assert {row.category for row in overview.list_categories(labelled)} == {f"{name} news" for name in CATEGORIES}
        assert [past.undone for past in overview.read_history(labelled)] == [False] * 3

    def test_the_history_says_who_changed_what_and_what_was_taken_back(self, labelled):
        change(labelled, "rename", "sport", "games", reason="as the desk says")
        changes.undo_change(labelled, changed_by="bob", reason="a mistake")
        undone, renamed = overview.read_history(labelled)
        assert (renamed.change, renamed.changed_by, renamed.reason, renamed.undone) == (
            "sport is now named games",
            "ann",
            "as the desk says",
            True,
        )
        assert (undone.change, undone.changed_by) == ("taken back: sport is now named games", "bob")
        assert undone.reason == "a mistake"

    def test_names_that_only_a_change_brought_are_gone_after_its_undo(self, labelled):
        change(labelled, "split", "sport", ["football", "tennis"])
        changes.undo_change(labelled, changed_by="ann")
        assert [row.category for row in overview.list_categories(labelled, closed=True)] == [*CATEGORIES]
        change(labelled, "merge", ["sport", "tech"], "leisure")
        changes.undo_change(labelled, changed_by="ann")
        assert [row.category for row in overview.list_categories(labelled, closed=True)] == [*CATEGORIES]
        change(labelled, "split", "sport", ["football", "tennis"])
        run(
            labelled.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT min(articles.id), tasks.id, 1, ARRAY['tennis'], 'ann' FROM articles, tasks GROUP BY tasks.id",
        )
        changes.undo_change(labelled, changed_by="ann")
        assert "tennis" in {row.category for row in overview.list_categories(labelled)}

    def test_the_list_shows_sizes_former_names_and_the_tree(self, labelled):
        change(labelled, "rename", "sport", "games")
        change(labelled, "move", ["games", "tech"], "life")
        change(labelled, "describe", "games", description="Matches and teams")
        listed = {row.category: row for row in overview.list_categories(labelled)}
        assert [*listed] == ["business", "life", "games", "tech"]
        assert (listed["games"].annotated, listed["games"].former_names) == (30, ("sport",))
        assert (listed["games"].path, listed["games"].description) == (("life", "games"), "Matches and teams")
        assert (listed["life"].champion_knows, listed["games"].champion_knows) == (False, True)
        assert overview.show_category(labelled, "sport").category == "games"
        path = value(labelled.database, "SELECT path FROM categories WHERE name = 'sport'")
        assert path == ["life", "games"]


def test_a_task_whose_categories_were_only_imported_has_nothing_to_train_on(labelled, tmp_path):
    tasks.add(labelled, "place")
    (tmp_path / "tree.csv").write_text("category,parent\nfrance,europe\n", encoding="utf-8")
    changes.import_tree(labelled.with_task("place"), tmp_path / "tree.csv", changed_by="ann")
    assert [task.name for task in active_tasks.list_annotated(labelled)] == ["default"]


class TestTree:
    def test_an_import_arranges_categories_and_one_undo_takes_it_back(self, labelled, tmp_path):
        file = tmp_path / "tree.csv"
        file.write_text("category,parent,description\nlife,,\nsport,life,Matches\nchess,sport,\n")
        changes.import_tree(labelled, file, changed_by="ann")
        listed = {row.category: row for row in overview.list_categories(labelled)}
        assert [*listed] == ["business", "life", "sport", "chess", "tech"]
        assert (listed["chess"].path, listed["sport"].description) == (("life", "sport", "chess"), "Matches")
        paths = query(
            labelled.database, "SELECT DISTINCT label, label_path(task, label) FROM article_labels ORDER BY label"
        )
        assert paths == [("business", ["business"]), ("sport", ["life", "sport"]), ("tech", ["tech"])]
        change(labelled, "rename", "life", "leisure")
        assert value(labelled.database, "SELECT label_path('default', 'sport')") == ["leisure", "sport"]
        changes.undo_change(labelled, changed_by="ann")
        changes.undo_change(labelled, changed_by="ann")
        assert value(labelled.database, "SELECT label_path('default', 'sport')") == ["sport"]
        assert all(len(row.path) == 1 for row in overview.list_categories(labelled))
