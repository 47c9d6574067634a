"""Several people annotate a share of the queue, each once; their independent opinions show how far they agree."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from classifier.pipeline.review import annotation, annotator_agreement, conflicts, overlap, review_queue, sheets
from classifier.store import annotated_articles, independent_opinions
from classifier.workspace import Workspace
from tests.support.multi_label import add_champion, add_task
from tests.support.predictions import label
from tests.support.synthetic import add_articles, annotate, query, run

PEOPLE = ("ann", "bob", "cid")


def with_overlap(workspace, share=1.0, people=2):
    changes = {"review_overlap": share, "review_annotators": people}
    return Workspace(workspace.database, workspace.settings.model_copy(update=changes), workspace.choice)


@pytest.fixture
def ids(workspace):
    """Thirty articles that a champion has labelled, and that wait for review."""
    with workspace.database.begin() as connection:
        ids = add_articles(connection, [(f"{n}", f"text number {n} here", "train") for n in range(30)])
        label(connection, ids)
    review_queue.fill_queue(workspace, number=30, audit=0)
    return ids


def save(workspace, article_id, category, annotator):
    annotation.save_answer(workspace, article_id, 1, [category], annotator=annotator)


def shown_to(workspace, annotator):
    """Return the articles that the page shows to a person who skips them all."""
    seen, after = [], 0
    while (question := annotation.next_question(workspace, annotator, after=after)) and question.article.id not in seen:
        seen.append(question.article.id)
        after = question.article.id
    return seen


def exported_to(workspace, path, **options):
    sheets.export_sheet(workspace, path, **options)
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [int(row["id"]) for row in csv.DictReader(file)]


class TestOverlap:
    def test_without_the_setting_an_annotated_article_leaves_the_queue(self, workspace, ids):
        save(workspace, ids[0], "a", "ann")
        assert shown_to(workspace, "bob") == ids[1:]
        assert review_queue.read_status(workspace).second_opinions == 0

    def test_an_article_waits_for_another_person_and_never_for_the_same(self, workspace, ids):
        both = with_overlap(workspace)
        save(both, ids[0], "a", "ann")
        assert shown_to(both, "ann") == ids[1:]
        assert shown_to(both, "bob") == ids
        assert review_queue.read_status(both).second_opinions == 1
        save(both, ids[0], "a", "bob")
        for name in PEOPLE:
            assert shown_to(both, name) == ids[1:]
        assert review_queue.read_status(both).second_opinions == 0

    def test_three_people_may_be_asked(self, workspace, ids):
        three = with_overlap(workspace, people=3)
        for name in PEOPLE:
            assert ids[0] in shown_to(three, name)
            save(three, ids[0], "a", name)
        assert ids[0] not in shown_to(three, "dan")

    def test_only_a_fixed_share_of_the_articles_waits(self, workspace, ids):
        half = with_overlap(workspace, 0.5)
        for article_id in ids:
            save(half, article_id, "a", "ann")
        shared = [article_id for article_id in ids if overlap.is_shared(article_id, 0.5)]
        assert 5 < len(shared) < 25
        assert shown_to(half, "bob") == shared
        assert {*shown_to(with_overlap(workspace, 0.7), "bob")} >= {*shared}, "a larger share only adds articles"

    def test_the_share_is_about_the_setting(self):
        assert 900 < sum(overlap.is_shared(number, 0.1) for number in range(10_000)) < 1100
        assert not any(overlap.is_shared(number, 0) for number in range(100))
        assert all(overlap.is_shared(number, 1) for number in range(100))

    def test_the_second_person_sees_neither_the_first_answer_nor_another_question(self, workspace, ids):
        both = with_overlap(workspace)
        before = annotation.read_question(both, ids[0], "bob")
        save(both, ids[0], "b", "ann")
        after = annotation.read_question(both, ids[0], "bob")
        assert after == replace(before, waiting=after.waiting)
        assert after.own_answer is None

    def test_different_answers_are_a_conflict_as_before(self, workspace, ids):
        both = with_overlap(workspace)
        save(both, ids[0], "a", "ann")
        save(both, ids[0], "b", "bob")
        assert [conflict.article_id for conflict in conflicts.list_conflicts(both)] == [ids[0]]
        with both.database.connect() as connection:
            assert not [*annotated_articles.load_split(connection, "train")]

    def test_a_resolved_article_no_longer_waits(self, workspace, ids):
        three = with_overlap(workspace, people=3)
        save(three, ids[0], "a", "ann")
        save(three, ids[0], "b", "bob")
        assert ids[0] in shown_to(three, "cid")
        conflicts.resolve_conflict(three, ids[0], ["a"], annotator="ann")
        assert ids[0] not in shown_to(three, "cid")

    def test_a_retracted_annotation_does_not_count(self, workspace, ids):
        both = with_overlap(workspace)
        save(both, ids[0], "a", "ann")
        save(both, ids[0], "a", "bob")
        run(both.database, "UPDATE annotations SET retracted_at = now() WHERE annotator = 'bob'")
        assert ids[0] in shown_to(both, "cid")
        assert ids[0] not in shown_to(both, "ann")

    def test_an_annotation_of_an_earlier_text_does_not_count(self, workspace, ids):
        both = with_overlap(workspace)
        save(both, ids[0], "a", "ann")
        run(both.database, "UPDATE articles SET revision = 2, content_revision = 2 WHERE id = :id", id=ids[0])
        assert ids[0] not in shown_to(both, "bob"), "the present text was not queued"

    def test_a_sources_annotation_is_no_persons(self, workspace, ids):
        both = with_overlap(workspace)
        with both.database.begin() as connection:
            annotate(connection, ids[0], "a", "source:s")
        assert ids[0] not in shown_to(both, "bob"), "it has an annotation, so no person is asked"

    def test_a_new_champion_does_not_end_the_wait(self, workspace, ids):
        both = with_overlap(workspace)
        save(both, ids[0], "a", "ann")
        with both.database.begin() as connection:
            label(connection, ids, "m2", seed=1)
        assert shown_to(both, "bob") == [ids[0]]
        suggested = annotation.next_question(both, "bob").article
        queued = query(both.database, "SELECT predicted_categories FROM review_queue WHERE article_id = :id", id=ids[0])
        assert list(suggested.suggested) == queued[0][0]

    def test_the_wait_ends_after_some_weeks(self, workspace, ids):
        both = with_overlap(workspace)
        save(both, ids[0], "a", "ann")
        run(both.database, "UPDATE review_queue SET queued_at = now() - interval '31 days'")
        assert ids[0] not in shown_to(both, "bob")

    def test_articles_that_wait_for_others_do_not_displace_new_ones(self, workspace, ids):
        both = with_overlap(workspace)
        for article_id in ids[:10]:
            save(both, article_id, "a", "ann")
        with both.database.begin() as connection:
            more = add_articles(connection, [(f"m{n}", f"another text {n} here", "train") for n in range(10)])
            label(connection, [*ids, *more], "m2", seed=1)
        assert review_queue.fill_queue(both, number=20, audit=0).waiting == 20
        assert len(shown_to(both, "bob")) == 30

    def test_the_articles_of_another_task_do_not_wait(self, workspace, ids):
        run(workspace.database, "UPDATE tasks SET name = 'author'")
        topics = add_task(workspace)
        add_champion(topics, ids[:3])
        review_queue.fill_queue(topics, number=3, audit=0)
        both = with_overlap(topics)
        annotation.save_answer(both, ids[0], 1, ["gold"], annotator="ann")
        assert {*shown_to(both, "bob")} == {*ids[:3]}
        assert {*shown_to(both, "ann")} == {*ids[1:3]}
        other = with_overlap(workspace.with_task("author"))
        assert shown_to(other, "ann") == ids


class TestSheets:
    def test_a_sheet_for_a_person_has_what_others_have_annotated(self, workspace, ids, tmp_path):
        both = with_overlap(workspace)
        save(both, ids[0], "a", "ann")
        assert exported_to(both, tmp_path / "anyone.csv") == ids[1:]
        assert exported_to(both, tmp_path / "ann.csv", annotator="ann") == ids[1:]
        assert exported_to(both, tmp_path / "bob.csv", annotator="bob") == [*ids[1:], ids[0]]

    def test_answers_from_a_sheet_end_the_wait(self, workspace, ids, tmp_path):
        both = with_overlap(workspace)
        save(both, ids[0], "a", "ann")
        path = tmp_path / "bob.csv"
        path.write_text(f"id,revision,category,annotator\n{ids[0]},1,b,bob\n")
        assert sheets.import_sheet(both, path).conflicts == 1
        assert ids[0] not in shown_to(both, "cid")

    def test_the_command_line_reads_the_setting(self, workspace, ids, classifier):
        save(workspace, ids[0], "a", "ann")
        environment = {
            "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
            "CLASSIFIER_REVIEW_OVERLAP": "1",
        }
        done = classifier("review", "export", "bob.csv", "--annotator", "bob", "--json", **environment)
        assert json.loads(done.stdout)["articles"] == 30, done.stderr
        done = classifier("review", "status", **environment)
        assert "Waiting for further annotators: 1." in done.stdout
        for name, content in (("OVERLAP", "1.5"), ("ANNOTATORS", "1")):
            done = classifier("review", "status", **{**environment, f"CLASSIFIER_REVIEW_{name}": content})
            assert done.returncode == 2
            assert done.stderr.startswith(f"error: CLASSIFIER_REVIEW_{name}: Input should be")


class TestAgreement:
    def rows(self, workspace):
        with workspace.database.connect() as connection:
            rows = independent_opinions.independent_opinions(connection)
        return [(row.article_id, row.annotator, row.categories[0]) for row in rows]

    def test_the_first_opinion_of_each_person_counts(self, workspace, ids):
        save(workspace, ids[0], "a", "ann")
        save(workspace, ids[0], "b", "bob")
        save(workspace, ids[0], "a", "bob")  # after talking to ann
        save(workspace, ids[1], "a", "ann")
        assert self.rows(workspace) == [(ids[0], "ann", "a"), (ids[0], "bob", "b")]

    def test_a_resolution_and_what_follows_it_do_not_count(self, workspace, ids):
        save(workspace, ids[0], "a", "ann")
        save(workspace, ids[0], "b", "bob")
        conflicts.resolve_conflict(workspace, ids[0], ["a"], annotator="cid")
        save(workspace, ids[0], "a", "dan")
        assert self.rows(workspace) == [(ids[0], "ann", "a"), (ids[0], "bob", "b")]

    def test_retracted_and_outdated_annotations_and_those_of_sources_do_not_count(self, workspace, ids):
        for article_id in ids[:3]:
            save(workspace, article_id, "a", "ann")
            save(workspace, article_id, "b", "bob")
        with workspace.database.begin() as connection:
            annotate(connection, ids[0], "a", "source:s")
        run(workspace.database, "UPDATE annotations SET retracted_at = now() WHERE article_id = :id", id=ids[1])
        run(workspace.database, "UPDATE articles SET revision = 2, content_revision = 2 WHERE id = :id", id=ids[2])
        assert [row[:2] for row in self.rows(workspace)] == [(ids[0], "ann"), (ids[0], "bob")]

    def test_the_report_and_the_command_show_the_figures(self, workspace, ids, classifier):
        for number, article_id in enumerate(ids):
            save(workspace, article_id, "ab"[number % 2], "ann")
            save(workspace, article_id, "ab"[number % 2 if number > 5 else 0], "bob")
        report = annotator_agreement.read_agreement(workspace)
        (pair,) = report.pairs
        assert (report.articles, pair.articles, pair.agreed) == (30, 30, 27)
        assert pair.kappa.value == pytest.approx(0.8)
        environment = {"CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False)}
        done = classifier("review", "agreement", **environment)
        assert done.returncode == 0, done.stderr
        assert "60 annotations of 30 articles, each by at least two people." in done.stdout
        assert "Krippendorff's alpha: 0.80" in done.stdout
        assert "0.800 (" in done.stdout
        done = classifier("review", "agreement", "--json", **environment)
        assert json.loads(done.stdout)["pairs"][0]["kappa"]["value"] == pytest.approx(0.8)

    def test_without_overlap_the_command_says_what_to_do(self, workspace, classifier):
        environment = {"CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False)}
        done = classifier("review", "agreement", **environment)
        assert done.stdout == ("Agreement: no article has annotations by two people; see CLASSIFIER_REVIEW_OVERLAP\n")

    def test_a_multi_label_task_is_measured_by_category(self, workspace, ids):
        topics = add_task(workspace)
        add_champion(topics, ids)
        review_queue.fill_queue(topics, number=30, audit=0)
        for number, article_id in enumerate(ids):
            labels = ["gold", "ship"] if number % 2 else ["grain"]
            annotation.save_answer(topics, article_id, 1, labels, annotator="ann")
            annotation.save_answer(topics, article_id, 1, labels[:1], annotator="bob")
        report = annotator_agreement.read_agreement(topics)
        alphas = {each.category: each for each in report.categories}
        assert alphas["gold"].articles == 15
        assert alphas["gold"].alpha is None, "fewer than twenty articles"
        assert (report.pairs[0].agreed, report.alpha.value < 1) == (15, True)
