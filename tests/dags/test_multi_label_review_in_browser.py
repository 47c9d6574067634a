"""The review of a multi-label task in a real browser, by keyboard."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from classifier.pipeline.review import annotation, review_queue
from tests.support.multi_label import add_champion, add_task
from tests.support.synthetic import add_articles, query

pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]

CATEGORIES = ("cocoa", "coffee", "crude oil", "gold", "grain", "interest", "money", "ship", "sugar", "trade", "wheat")
TEXT = (
    "Brazil will sell more coffee and sugar this year, an official of the trade ministry said in Sao Paulo. "
    "Dock workers end their strike on Monday, and ships that have waited for two weeks may load again.\n\n"
    "Prices of both fell in London. Traders expect a further fall, because harvests are larger than a year ago."
)
CHOSEN = {"coffee": 0.97, "sugar": 0.91, "ship": 0.62}

HEIGHT = 860
"""Of the windows, in pixels."""

PICTURES = os.environ.get("CLASSIFIER_TEST_PICTURES")
"""Folder to which screenshots are written, if it is set."""


@pytest.fixture
def topics(workspace):
    """A multi-label task with articles to review, and a conflict on the last one."""
    topics = add_task(workspace, description="What is the article about?")
    with topics.database.begin() as connection:
        ids = add_articles(connection, [(f"r{n}", f"{TEXT}\n\nArticle {n}.", "train") for n in range(6)])
    probabilities = [[CHOSEN.get(name, 0.02) for name in CATEGORIES]] * len(ids)
    add_champion(topics, ids, probabilities, categories=CATEGORIES)
    review_queue.fill_queue(topics, number=len(ids), audit=0)
    annotation.save_answer(topics, ids[-1], 1, ["coffee", "sugar"], annotator="ann")
    annotation.save_answer(topics, ids[-1], 1, ["coffee", "ship", "sugar"], annotator="bob", comment="the strike")
    return topics


@pytest.fixture
def ids(topics):
    return [article_id for (article_id,) in query(topics.database, "SELECT id FROM articles ORDER BY id")]


@pytest.fixture
def opened(topics, ask, address, airflow, chromium):
    """Open a page of the classifier as a user, in a window of a theme and width."""
    _, tokens = airflow
    assert topics.task.kind == "multi"
    assert ask("/review").status_code == 200

    @contextmanager
    def open_page(path="/review", *, theme="light", width=1280):
        context = chromium.new_context(viewport={"width": width, "height": HEIGHT}, color_scheme=theme)
        context.add_cookies([{"name": "_token", "value": tokens["user"], "url": address}])
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(f"{address}/classifier{path}")
        yield page
        context.close()

    return open_page


def shoot(page, name):
    if PICTURES:
        page.wait_for_timeout(500)
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def answers(workspace):
    by_ada = "SELECT categories FROM annotations WHERE annotator = 'ada the user' ORDER BY id"
    return [list(categories) for (categories,) in query(workspace.database, by_ada)]


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)])
def test_the_page_fits_its_window(opened, topics, theme, width):
    with opened("/review/next", theme=theme, width=width) as page:
        assert page.locator("html").evaluate("root => root.scrollWidth - root.clientWidth") <= 0
        assert page.locator("fieldset.choices :checked").count() == 3
        save = page.get_by_role("button", name="Save").bounding_box()
        assert save["y"] + save["height"] <= HEIGHT, "the button is in sight"
        shoot(page, f"review-multi{'-narrow' if width == 400 else ''}{'-dark' if theme == 'dark' else ''}")


def test_keys_toggle_categories_and_enter_saves(opened, topics):
    with opened("/review/next") as page:
        page.locator(".chosen", has_text="3 categories").wait_for()
        page.keyboard.press("8")
        page.keyboard.press("0")
        page.locator(".chosen", has_text="3 categories").wait_for()
        page.keyboard.press("c")
        page.keyboard.type("8 is a ship")
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")
        page.get_by_text("3 waiting").or_(page.get_by_text("4 waiting")).first.wait_for()
        for key in ("2", "8", "9"):
            page.keyboard.press(key)
        page.locator(".chosen", has_text="none of them").wait_for()
        page.keyboard.press("Enter")
        page.get_by_text("You annotated").or_(page.locator("fieldset.choices")).first.wait_for()
        page.keyboard.press("b")
        page.get_by_text("You annotated it as none").wait_for()
        assert page.locator("fieldset.choices :checked").count() == 0
    assert answers(topics) == [["coffee", "sugar", "trade"], []]


def test_a_check_box_has_a_role_a_name_and_a_visible_focus(opened, topics):
    with opened("/review/next") as page:
        box = page.get_by_role("checkbox", name="cocoa")
        box.focus()
        page.keyboard.press("Tab")
        coffee = page.get_by_role("checkbox", name="coffee")
        assert coffee.evaluate("box => box === document.activeElement && box.checked")
        assert coffee.evaluate("box => getComputedStyle(box.closest('label')).outlineStyle") == "solid"
        page.keyboard.press("Space")
        assert not coffee.is_checked()


def test_a_conflict_shows_sets_and_starts_with_what_all_agree_on(opened, topics, ids):
    with opened() as page:
        page.get_by_text("coffee, ship, sugar").wait_for()
        shoot(page, "review-multi-queue")
        page.get_by_role("link", name=f"{ids[-1]}: read and resolve").click()
        page.locator("fieldset.choices").wait_for()
        assert page.locator("fieldset.choices :checked").count() == 2
        shoot(page, "review-multi-conflict")
        page.keyboard.press("8")
        page.keyboard.press("Enter")
        page.get_by_text("The conflict is resolved").wait_for()
    assert answers(topics)[-1] == ["coffee", "ship", "sugar"]


def test_of_many_categories_the_others_are_found_by_typing(opened, topics, tmp_path):
    many = (*CATEGORIES, *(f"country {number:03d}" for number in range(80)))
    with topics.database.begin() as connection:
        ids = add_articles(connection, [("many", f"{TEXT} Many.", "train")])
    add_champion(topics, ids, [[CHOSEN.get(name, 0.02) for name in many]], name="t2", categories=many)
    review_queue.fill_queue(topics, number=1, audit=0)
    with opened("/review/next") as page:
        assert page.locator("fieldset.choices input").count() == 3
        page.keyboard.press("/")
        page.keyboard.type("country 042")
        page.keyboard.press("Enter")
        page.get_by_role("checkbox", name="country 042").wait_for()
        page.locator(".chosen", has_text="4 categories").wait_for()
        shoot(page, "review-multi-many")
        page.keyboard.press("Enter")
        page.get_by_text("No article is waiting").wait_for()
    assert answers(topics)[-1] == ["coffee", "country 042", "ship", "sugar"]
