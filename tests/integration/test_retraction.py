"""A retracted annotation counts nowhere, and stays stored with the account that retracted it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from classifier.exceptions import ReviewError
from classifier.pipeline.review import conflicts, retraction
from classifier.store import reviews
from classifier.store.annotation_rows import AnnotationFilter
from tests.support.synthetic import annotate, articles, dump, ingest_file, query, unlabelled, value
from tests.support.waiting import wait_for


@pytest.fixture
def article(workspace, tmp_path):
    """An article without a category, annotated by ann."""
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(3), source="news")
    id_ = value(workspace.database, "SELECT id FROM articles WHERE external_id = 'a0'")
    with workspace.database.begin() as connection:
        annotate(connection, id_, "tech")
    return id_


def label(workspace, article):
    return query(workspace.database, "SELECT label, origin FROM article_labels WHERE article_id = :id", id=article)[0]


def test_a_retracted_annotation_counts_nowhere_and_is_kept(workspace, article):
    before = query(workspace.database, "SELECT categories[1], annotator, annotated_at FROM annotations")
    done = retraction.retract(workspace, AnnotationFilter(annotator="ann"), yes=True)
    assert (done.annotations, done.articles, done.done) == (1, 1, True)
    assert label(workspace, article) == (None, None)
    for view in ("annotations_in_force", "effective_annotations", "annotation_opinions"):
        assert value(workspace.database, f"SELECT count(*) FROM {view}") == 0
    assert query(workspace.database, "SELECT categories[1], annotator, annotated_at FROM annotations") == before
    assert value(workspace.database, "SELECT retracted_by FROM annotations") is not None


def test_an_article_that_loses_its_last_annotation_waits_for_a_label(workspace, tmp_path):
    ingest_file(workspace, tmp_path / "x.csv", articles(3), source="news")
    assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 0
    first = value(workspace.database, "SELECT min(article_id) FROM annotations")
    with workspace.database.begin() as connection:
        annotate(connection, first, "tech")
    done = retraction.retract(workspace, AnnotationFilter(annotator="source:news"), yes=True)
    assert (done.annotations, done.enqueued) == (3, 2)
    assert label(workspace, first) == ("tech", "annotation")


def test_the_annotation_before_counts_again(workspace, article):
    with workspace.database.begin() as connection:
        annotate(connection, article, "sport", "bob")
    assert label(workspace, article) == ("sport", "annotation")
    assert len(conflicts.list_conflicts(workspace)) == 1
    retraction.retract(workspace, AnnotationFilter(annotator="bob"), yes=True)
    assert label(workspace, article) == ("tech", "annotation")
    assert conflicts.list_conflicts(workspace) == []


def test_a_sources_retracted_category_stays_retracted_until_the_source_changes_it(workspace, tmp_path):
    rows = articles(3)
    ingest_file(workspace, tmp_path / "x.csv", rows, source="news")
    retraction.retract(workspace, AnnotationFilter(annotator="source:news", external_id="a0"), yes=True)
    assert ingest_file(workspace, tmp_path / "x.csv", rows, source="news").annotations == 0
    rows[0]["category"] = "tech"
    assert ingest_file(workspace, tmp_path / "x.csv", rows, source="news").annotations == 1


def test_annotations_are_chosen_by_number_and_by_time(workspace, article):
    (number,) = query(workspace.database, "SELECT id FROM annotations")[0]
    later = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(ReviewError, match="no annotation is left to retract"):
        retraction.retract(workspace, AnnotationFilter(annotator="ann", since=later), yes=True)
    assert retraction.retract(workspace, AnnotationFilter(annotator="ann", until=later)).annotations == 1
    assert retraction.retract(workspace, AnnotationFilter(ids=(number,)), yes=True).annotations == 1
    with pytest.raises(ReviewError, match="annotation 999: unknown"):
        retraction.retract(workspace, AnnotationFilter(ids=(999,)), yes=True)


def test_without_yes_nothing_is_changed(workspace, article):
    before = dump(workspace.database)
    assert not retraction.retract(workspace, AnnotationFilter(annotator="ann")).done
    assert dump(workspace.database) == before


def test_the_commands_list_annotations_and_retract_them(workspace, article, classifier):
    environment = {"CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False)}
    (listed,) = json.loads(classifier("annotations", "--annotator", "ann", "--json", **environment).stdout)
    assert (listed["external_id"], listed["category"], listed["retracted_at"]) == ("a0", "tech", None)
    number = str(listed["annotation_id"])
    assert "Nothing was changed" in classifier("annotations", "retract", number, **environment).stdout
    done = classifier("annotations", "retract", number, "--yes", "--json", **environment)
    assert json.loads(done.stdout)["annotations"] == 1
    assert json.loads(classifier("annotations", "--json", **environment).stdout)[0]["retracted_at"]


def test_a_category_that_another_annotation_brings_at_the_same_time_stays_known(workspace, article):
    other = value(workspace.database, "SELECT id FROM articles WHERE external_id = 'a1'")
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'categories'::regclass"
    with ThreadPoolExecutor(1) as pool:
        with workspace.database.begin() as connection:
            columns = {"ids": [other], "revisions": [1], "categories": [("tech",)], "annotators": ["bob"]}
            assert reviews.add_annotations(connection, {**columns, "comments": [None]}) == (1, [])
            retracting = pool.submit(retraction.retract, workspace, AnnotationFilter(annotator="ann"), yes=True)
            wait_for(lambda: retracting.done() or value(workspace.database, waits))
        assert retracting.result().done
    assert query(workspace.database, "SELECT name FROM categories") == [("tech",)]
    retraction.retract(workspace, AnnotationFilter(annotator="bob"), yes=True)
    assert query(workspace.database, "SELECT name FROM categories") == []
