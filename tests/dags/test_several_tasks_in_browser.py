"""The pages of several tasks in a real browser: the switch, and an evaluation with 90 categories."""

from __future__ import annotations

import os
import random
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from classifier.pipeline.database import tasks
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import evaluation
from classifier.store import model_rows, task_rows
from tests.support.multi_label import add_task
from tests.support.synthetic import add_articles, annotate, run
from tests.support.tiny_models import WORDS, make_artefact

pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here"),
]

TOPICS = (*(f"topic {number:02d}" for number in range(88)), "a topic with quite a long name, as agencies have", "gold")
AUTHORS = ("Ann", "Ben")
WINDOWS = [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)]

PICTURES = os.environ.get("CLASSIFIER_TEST_PICTURES")
"""Folder to which screenshots are written, if it is set."""


@pytest.fixture
def newsroom(workspace):
    """Two tasks over the same articles, author and topics, each with an evaluated champion; one has 90 categories."""
    tasks.add(workspace, "author", description="Who wrote it?")
    author, topics = workspace.with_task("author"), add_task(workspace, description="What is the article about?")
    generator = random.Random(0)
    with author.database.begin() as connection:
        splits = ("train", "validation", "test")
        rows = [(f"a{n}", f"{' '.join(generator.choices(WORDS, k=8))} word{n}", splits[n % 3]) for n in range(300)]
        ids = add_articles(connection, rows)
        for number, article_id in enumerate(ids[:270]):
            annotate(connection, article_id, AUTHORS[number % 2])
    with topics.database.begin() as connection:
        task_rows.add_categories(connection, topics.task.id, TOPICS)
    for number, article_id in enumerate(ids[:270]):
        names = sorted({TOPICS[number // 3 % 90], *generator.sample(TOPICS, number % 3)})
        run(
            topics.database,
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "VALUES (:id, :task, 1, :names, 'ann')",
            id=article_id,
            task=topics.task.id,
            names=names,
        )
    for each, name, categories in ((author, "a1", AUTHORS), (topics, "t1", TOPICS)):
        add_champion(each, name, tuple(sorted(categories)))
        evaluation.evaluate(each)
        queue.label_queue(each)
    return topics


def add_champion(workspace, name, categories):
    kind = workspace.task.kind
    files = make_artefact(workspace.models / name, categories, kind=kind, seed=0)
    values = {"artefact": str(files.directory), "manifest_sha256": files.manifest_sha256, "training": {}}
    thresholds = [0.9] * len(categories) if kind == "multi" else None
    with workspace.database.begin() as connection:
        model = model_rows.register(connection, name=name, categories=categories, thresholds=thresholds, **values)
        model_rows.make_champion(connection, model)


@pytest.fixture
def opened(newsroom, ask, address, airflow, chromium):
    """Open a page of the classifier as a user, in a window of a theme and width."""
    _, tokens = airflow
    assert ask("/models", "user").status_code == 200

    @contextmanager
    def open_page(path, *, theme="light", width=1280):
        context = chromium.new_context(viewport={"width": width, "height": 860}, color_scheme=theme)
        context.add_cookies([{"name": "_token", "value": tokens["user"], "url": address}])
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(f"{address}/classifier{path}")
        yield page
        context.close()

    return open_page


def shoot(page, name, theme, width):
    if PICTURES:
        page.wait_for_timeout(500)
        suffix = f"{'-narrow' if width == 400 else ''}{'-dark' if theme == 'dark' else ''}"
        page.screenshot(path=Path(PICTURES) / f"{name}{suffix}.png", full_page=True)


def assert_fits(page):
    """Check that no content is wider than the window; tables may scroll inside their own frame."""
    assert page.locator("html").evaluate("root => root.scrollWidth - root.clientWidth") <= 0


def test_the_switch_changes_the_task_and_stays_on_the_page_after_a_reload(opened):
    with opened("/models") as page:
        switch = page.get_by_role("navigation", name="Task")
        assert switch.locator("[aria-current]").inner_text() == "author"
        switch.get_by_role("link", name="topics").click()
        page.get_by_role("link", name="t1", exact=True).wait_for()
        page.reload()
        assert switch.locator("[aria-current]").inner_text() == "topics"
        page.get_by_role("link", name="Overview").click()
        page.locator("#champion", has_text="t1").wait_for()
        assert switch.locator("[aria-current]").inner_text() == "topics"


@pytest.mark.parametrize(("theme", "width"), WINDOWS)
def test_the_pages_of_both_tasks_fit_their_windows(opened, theme, width):
    for path, name in (
        ("/?task=author", "switch-author"),
        ("/?task=topics", "switch-topics"),
        ("/models?task=topics", "models-topics"),
        ("/models/t1?task=topics", "evaluation-90"),
        ("/drift?task=topics", "drift-topics"),
    ):
        with opened(path, theme=theme, width=width) as page:
            page.locator("section, .empty").first.wait_for()
            page.get_by_role("navigation", name="Task").wait_for()
            assert page.locator(".message.bad").all_inner_texts() == [], path
            assert_fits(page)
            for table in page.locator("table.scores").all():
                assert table.evaluate("table => table.scrollWidth - table.parentElement.clientWidth") <= 0, path
            shoot(page, name, theme, width)


def test_the_table_of_90_categories_is_usable(opened):
    with opened("/models/t1?task=topics") as page:
        page.get_by_text("Exact matches").first.wait_for()
        assert page.get_by_text(TOPICS[-2]).count() > 0
