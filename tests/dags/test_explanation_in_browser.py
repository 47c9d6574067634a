"""Why a label: in a real browser, by keyboard and by mouse, in review and on an article's page."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from classifier.pipeline.review import explanation_process
from tests.support.explained_articles import TEXT, TITLE, add_explained_articles
from tests.support.synthetic import annotate, run
from tests.support.waiting import HANG_S, wait_for

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]

PICTURES = os.environ.get("CLASSIFIER_TEST_PICTURES")
"""Folder to which screenshots are written, if it is set."""


@pytest.fixture
def ids(workspace, monkeypatch):
    monkeypatch.setattr(explanation_process, "TIMEOUT_S", HANG_S)
    return add_explained_articles(workspace)


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(airflow):
    """The address at which Airflow's application answers a browser."""
    import uvicorn

    client, _ = airflow
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(client.app, host="127.0.0.1", port=port, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def opened(ids, ask, address, airflow, chromium):
    """Open a page of the classifier as a user; its console's messages must not name the content security policy."""
    _, tokens = airflow
    assert ask("/review").status_code == 200

    @contextmanager
    def open_page(path, *, theme="light", width=1280, height=900, role="user"):
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        context.add_cookies([{"name": "_token", "value": tokens[role], "url": address}])
        context.set_default_timeout(1000 * HANG_S)
        page, messages = context.new_page(), []
        page.on("console", lambda message: messages.append(message.text))
        page.goto(f"{address}/classifier{path}")
        yield page
        assert not [line for line in messages if "Content Security" in line]
        context.close()

    return open_page


def shoot(page, name, *, full=False):
    if PICTURES:
        page.wait_for_timeout(500)
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=full)


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)])
def test_the_key_marks_the_words_in_the_text_and_lists_them_below(opened, ids, theme, width):
    with opened(f"/review/articles/{ids[0]}", theme=theme, width=width) as page:
        before = page.locator("[data-text]").inner_text()
        page.keyboard.press("w")
        page.get_by_role("heading", name="Why sport?").wait_for()
        assert page.locator("[data-text]").inner_text() == before == TEXT
        assert page.locator("[data-title]").inner_text().lower() == TITLE.lower()
        assert page.locator("[data-title] mark.for").first.inner_text().lower() == "striker"
        colours = page.locator("[data-text] mark").evaluate_all(
            "marks => marks.map((mark) => getComputedStyle(mark).backgroundColor)"
        )
        assert len(set(colours)) > 3, "the strength of a mark is its colour"
        assert "rgba(0, 0, 0, 0)" not in colours
        assert page.get_by_role("table", name="For sport").get_by_role("row").count() > 3
        assert page.get_by_role("status").last.inner_text() == "Words are marked; their figures are below the text."
        assert page.locator("html").evaluate("root => root.scrollWidth - root.clientWidth") <= 0
        ending = f"{'-narrow' if width == 400 else ''}{'-dark' if theme == 'dark' else ''}"
        shoot(page, f"review-why{ending}")
        shoot(page, f"review-why-full{ending}", full=True)


def test_another_category_is_explained_by_a_click_and_the_focus_follows(opened, ids):
    with opened(f"/articles/{ids[0]}") as page:
        page.get_by_role("link", name="Why this label?").click()
        page.get_by_role("heading", name="Why sport?").wait_for()
        page.locator(".explanation").get_by_role("link", name="business", exact=True).click()
        heading = page.get_by_role("heading", name="Why business?")
        heading.wait_for()
        assert heading.evaluate("heading => heading === document.activeElement")
        assert page.locator("[data-text] mark.for", has_text="shares").count() == 1
        shoot(page, "article-why", full=True)
        page.locator(".nearest a").first.click()
        page.locator("[data-text]").wait_for()
        page.get_by_text("annotated").first.wait_for()
        shoot(page, "article")


def test_an_annotation_can_be_saved_by_its_key_after_the_words_were_marked(opened, ids):
    with opened(f"/review/articles/{ids[0]}") as page:
        page.keyboard.press("w")
        page.get_by_role("heading", name="Why sport?").wait_for()
        page.keyboard.press("2")
        page.locator("#which", has_text="2024-118").wait_for()
        assert page.get_by_role("link", name="Why this label?").count() == 0, "it was drawn at random"


def test_a_doubtful_annotation_is_asked_for_again_without_showing_it(opened, workspace, ids):
    run(workspace.database, "UPDATE review_queue SET reason = 'doubtful' WHERE article_id = :id", id=ids[0])
    with workspace.database.begin() as connection:
        annotate(connection, ids[0], "business", "source:desk")
    with opened(f"/review/articles/{ids[0]}") as page:
        page.get_by_text("its annotation is probably wrong").wait_for()
        assert page.get_by_role("link", name="Why this label?").count() == 0
        assert page.get_by_text("source:desk").count() == 0
        shoot(page, "review-doubtful", full=True)


def test_a_complete_page_is_not_shown_within_the_page(opened, ids):
    with opened(f"/articles/{ids[0]}") as page:
        page.route("**/why?*", lambda route: route.fulfill(status=404, body="<!doctype html><h1>Error</h1>"))
        page.keyboard.press("w")
        page.get_by_role("status").filter(has_text="Not explained: the server answered 404; reload").wait_for()
        assert page.get_by_role("heading", name="Error").count() == 0


def test_an_error_is_shown_in_the_place_of_the_explanation(opened, ids, workspace):
    from tests.support.synthetic import run

    with opened(f"/articles/{ids[0]}") as page:
        run(workspace.database, "UPDATE articles SET revision = 2 WHERE id = :id", id=ids[0])
        page.keyboard.press("w")
        page.get_by_role("alert").filter(has_text="has changed; reload the page").wait_for()
