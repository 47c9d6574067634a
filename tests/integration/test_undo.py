"""An ingest can be taken back as long as nothing newer builds on it."""

from __future__ import annotations

import json

import pytest

from classifier.exceptions import UndoError
from classifier.pipeline.erasure import article_copies
from classifier.pipeline.ingest import undo
from classifier.pipeline.labelling import queue
from classifier.pipeline.review import retraction
from classifier.store import undo as undo_rows
from classifier.store.annotation_rows import AnnotationFilter
from tests.support.synthetic import (
    annotate,
    articles,
    dump,
    ingest_file,
    make_champion,
    query,
    run,
    unlabelled,
    value,
)


@pytest.fixture
def two_runs(workspace, tmp_path):
    """Twenty articles of a first run, and ten of a second one."""
    ingest_file(workspace, tmp_path / "x.csv", articles(20), source="news")
    ingest_file(workspace, tmp_path / "y.csv", articles(10, prefix="b"), source="news")


def last_run(workspace):
    return value(workspace.database, "SELECT max(id) FROM ingest_runs")


def external_ids(workspace):
    return {id_ for (id_,) in query(workspace.database, "SELECT external_id FROM articles")}


def test_the_articles_of_a_run_are_deleted_and_keep_their_splits(workspace, tmp_path, two_runs):
    splits = query(workspace.database, "SELECT fingerprint, split FROM splits ORDER BY 1")
    decided = dict(query(workspace.database, "SELECT external_id, split FROM articles"))
    done = undo.undo_run(workspace, last_run(workspace), yes=True)
    assert (done.articles, done.done) == (10, True)
    assert external_ids(workspace) == {f"a{number}" for number in range(20)}
    assert query(workspace.database, "SELECT fingerprint, split FROM splits ORDER BY 1") == splits
    assert ingest_file(workspace, tmp_path / "y.csv", source="news").new == 10
    assert dict(query(workspace.database, "SELECT external_id, split FROM articles")) == decided


def test_without_yes_nothing_is_changed(workspace, two_runs):
    before = dump(workspace.database)
    shown = undo.undo_run(workspace, last_run(workspace))
    assert (shown.articles, shown.done) == (10, False)
    assert dump(workspace.database) == before
    assert undo.list_runs(workspace)[0].state == "succeeded"


def test_labels_go_with_their_articles_and_no_other_label_is_touched(workspace, tmp_path):
    make_champion(workspace, "m1", seed=1)
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(20), source="news")
    ingest_file(workspace, tmp_path / "y.csv", unlabelled(10, prefix="b"), source="news")
    queue.label_queue(workspace)
    undo.undo_run(workspace, last_run(workspace), yes=True)
    assert value(workspace.database, "SELECT count(*) FROM predictions") == 20


def test_categories_that_a_run_brought_for_older_articles_are_taken_back(workspace, tmp_path):
    ingest_file(workspace, tmp_path / "x.csv", unlabelled(6), source="news")
    ingest_file(workspace, tmp_path / "x.csv", articles(6), source="news")
    assert value(workspace.database, "SELECT count(*) FROM labelling_queue") == 0
    done = undo.undo_run(workspace, last_run(workspace), yes=True)
    assert (done.articles, done.categories, done.enqueued) == (0, 6, 6)
    assert value(workspace.database, "SELECT count(*) FROM annotations") == 0
    assert ingest_file(workspace, tmp_path / "x.csv", source="news").annotations == 6


def test_changed_texts_stay_and_are_listed(workspace, tmp_path, two_runs):
    changed = [{**row, "text": f"{row['text']} with a new end"} for row in articles(2)]
    ingest_file(workspace, tmp_path / "x.csv", [*changed, {"id": "c", "text": "new", "category": ""}], source="news")
    done = undo.undo_run(workspace, last_run(workspace), yes=True)
    assert (done.articles, done.changed_kept) == (1, 2)
    assert [article.external_id for article in done.changed] == ["a0", "a1"]
    assert value(workspace.database, "SELECT count(*) FROM articles WHERE text LIKE '% with a new end'") == 2


def test_rejected_rows_of_the_run_are_deleted(workspace, tmp_path):
    bad = [*articles(9), {"id": "", "text": "x", "category": ""}]
    ingest_file(workspace, tmp_path / "x.csv", bad, source="news", max_rejected=1)
    assert undo.undo_run(workspace, last_run(workspace), yes=True).rejected_rows == 1
    assert value(workspace.database, "SELECT count(*) FROM rejected_rows") == 0


def test_a_run_whose_articles_people_have_annotated_is_refused(workspace, two_runs):
    article = value(workspace.database, "SELECT id FROM articles WHERE external_id = 'b3'")
    with workspace.database.begin() as connection:
        annotate(connection, article, "tech")
    before = dump(workspace.database)
    for yes in (False, True):
        with pytest.raises(UndoError, match=r"run 2: people have added 1 annotation to its articles; retract"):
            undo.undo_run(workspace, 2, yes=yes)
    assert dump(workspace.database) == before
    retraction.retract(workspace, AnnotationFilter(annotator="ann"), yes=True)
    assert undo.undo_run(workspace, 2, yes=True).articles == 10


def test_a_run_on_which_a_later_run_builds_is_refused_until_that_one_is_undone(workspace, tmp_path, two_runs):
    rows = articles(3, prefix="b")
    ingest_file(workspace, tmp_path / "y.csv", [{**rows[0], "text": "other words of the bank"}], source="news")
    ingest_file(workspace, tmp_path / "y.csv", [{**rows[1], "category": "other"}], source="news")
    with pytest.raises(UndoError) as refused:
        undo.undo_run(workspace, 2, yes=True)
    assert "later runs have changed the texts of 1 article that it brought" in str(refused.value)
    assert "later runs have brought 2 categories for its articles" in str(refused.value)
    assert len(external_ids(workspace)) == 30
    assert undo.undo_run(workspace, 4, yes=True).categories == 1


def test_unknown_unfinished_and_undone_runs_are_refused(workspace, two_runs):
    run(workspace.database, "UPDATE ingest_runs SET status = 'running', finished_at = NULL WHERE id = 1")
    undo.undo_run(workspace, 2, yes=True)
    for number, problem in ((9, "unknown"), (1, "has not ended"), (2, "was undone already, at 20")):
        with pytest.raises(UndoError, match=f"run {number}: {problem}"):
            undo.undo_run(workspace, number, yes=True)


def test_a_run_is_undone_completely_or_not_at_all(workspace, two_runs, monkeypatch):
    before = dump(workspace.database)

    def crash(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(undo_rows, "mark_undone", crash)
        with pytest.raises(KeyboardInterrupt):
            undo.undo_run(workspace, 2, yes=True)
    assert dump(workspace.database) == before
    assert undo.undo_run(workspace, 2, yes=True).articles == 10


def test_a_running_training_keeps_its_articles(workspace, two_runs):
    from classifier.exceptions import ErasureError

    @article_copies.copies_articles
    def training(workspace):
        with pytest.raises(ErasureError, match="a training, an evaluation or a check of annotations is running"):
            undo.undo_run(workspace, 2, yes=True)

    training(workspace)
    assert len(external_ids(workspace)) == 30


def test_the_commands_list_the_runs_and_undo_one(workspace, two_runs, classifier):
    environment = {"CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False)}
    listed = json.loads(classifier("runs", "--json", **environment).stdout)
    assert [(row["id"], row["new"], row["state"]) for row in listed] == [(2, 10, "succeeded"), (1, 20, "succeeded")]
    assert "Nothing was changed. Add --yes" in classifier("runs", "undo", "2", **environment).stdout
    done = classifier("runs", "undo", "2", "--yes", **environment)
    assert (done.returncode, "Undone" in done.stdout) == (0, True), done.stderr
    assert "undone" in classifier("runs", **environment).stdout
