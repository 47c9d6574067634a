"""The pages of a multi-label task whose champion has been evaluated: its scores are those of label sets."""

from __future__ import annotations

import pytest

from classifier.pipeline.database import tasks
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import evaluation
from classifier.store import model_rows
from tests.support.multi_label import add_task
from tests.support.synthetic import add_articles, run
from tests.support.tiny_models import CATEGORIES, WORDS, make_artefact

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def topics(workspace):
    """A task whose champion is evaluated and has labelled; some of its articles are annotated, in each split."""
    topics = add_task(workspace)
    files = make_artefact(workspace.models / "t1", seed=0)
    with topics.database.begin() as connection:
        splits = ("train", "validation", "test")
        rows = [(f"a{n}", f"{WORDS[n % 7]} word{n} word{n + 50}", splits[n % 3]) for n in range(36)]
        ids = add_articles(connection, rows)
        values = {"artefact": str(files.directory), "manifest_sha256": files.manifest_sha256, "training": {}}
        thresholds = [0.34] * len(CATEGORIES)
        model = model_rows.register(connection, name="t1", categories=files.categories, thresholds=thresholds, **values)
        model_rows.make_champion(connection, model)
    for number, article_id in enumerate(ids[:30]):
        run(
            topics.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "VALUES (:id, :task, 1, :names, 'ann')",
            id=article_id,
            task=topics.task.id,
            names=sorted(CATEGORIES[: number // 3 % 3]),
        )
    evaluation.evaluate(topics)
    queue.label_queue(topics)
    return topics


@pytest.mark.usefixtures("topics")
@pytest.mark.parametrize("path", ["/", "/models", "/models/t1", "/categories", "/review", "/drift", "/problems"])
def test_each_page_shows_the_task(ask, path):
    answer = ask(f"{path}?task=topics")
    assert answer.status_code == 200
    assert 'class="message bad"' not in answer.text, "no section failed"


@pytest.mark.usefixtures("topics")
def test_the_scores_of_the_champion_are_those_of_label_sets(ask):
    for path in ("/", "/models/t1"):
        page = ask(f"{path}?task=topics").text.lower()
        assert "exact matches" in page, path
        assert "macro-f1" in page, path
    assert "micro-f1" in page


@pytest.mark.usefixtures("topics")
def test_the_list_of_models_calls_the_share_of_exact_sets_exact_matches(ask):
    page = ask("/models?task=topics").text
    assert '<th scope="col">exact matches</th>' in page
    assert "accuracy" not in page


@pytest.mark.usefixtures("topics")
def test_a_form_that_was_opened_while_there_was_one_task_changes_nothing(ask, workspace):
    tasks.add(workspace, "author")
    answer = ask("/rollback", "user", method="POST", data={"to": "t1", "reason": "why"})
    assert answer.status_code == 404
    assert "There are several tasks now, and nothing was changed." in answer.text
