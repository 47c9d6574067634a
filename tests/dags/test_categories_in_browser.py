"""The page of categories in a real browser: a merge in two steps, also in the dark and on a telephone."""

from __future__ import annotations

import os
import shutil
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from classifier.pipeline.categories import changes, overview
from tests.support.multi_label import add_champion
from tests.support.synthetic import add_articles, annotate
from tests.support.waiting import wait_for

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here"),
]

KNOWN = ("acq", "cocoa", "coffee", "corn", "crude oil", "earnings", "gold", "interest", "ship", "sugar", "wheat")
NEW = ("oats", "rye")

PICTURES = os.environ.get("CLASSIFIER_TEST_PICTURES")
"""Folder to which screenshots are written, if it is set."""


@pytest.fixture
def newsroom(workspace):
    """A task whose categories form a tree and have a history; the champion does not know two of them."""
    names = [name for number, name in enumerate((*KNOWN, *NEW)) for _ in range(4 + 5 * number % 13)]
    splits = ("train", "train", "train", "validation", "test")
    with workspace.database.begin() as connection:
        rows = [(f"a{n}", f"text {n} about {name}", splits[n % 5]) for n, name in enumerate(names)]
        ids = add_articles(connection, rows)
        for number, (article_id, name) in enumerate(zip(ids, names, strict=True)):
            annotate(connection, article_id, name, "ann" if number % 3 else "source:reuters")
    probabilities = [[0.9 if category == name else 0.01 for category in KNOWN] for name in names]
    add_champion(workspace, ids, probabilities, name="r8-small", categories=KNOWN)
    for kind, changed, targets, why in (
        ("rename", ["acq"], ["mergers and acquisitions"], "readers did not understand the abbreviation"),
        ("move", ["corn", "wheat", "oats", "rye"], ["grain"], "as in the style book"),
        ("move", ["grain", "cocoa", "coffee", "sugar"], ["commodities"], ""),
        ("retire", ["interest"], [], "too few articles"),
        ("split", ["crude oil"], ["oil markets", "oil companies"], "the desk has two reporters now"),
    ):
        changes.change_categories(workspace, kind, changed, targets, changed_by="ann", reason=why)
    changes.undo_change(workspace, changed_by="bob", reason="not yet")
    changes.change_categories(
        workspace, "describe", ["ship"], description="Shipping, ports and strikes of dock workers.", changed_by="ann"
    )
    return workspace


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
def opened(newsroom, ask, address, airflow, chromium):
    """Open a page as a user, in a window of a theme and width."""
    _, tokens = airflow
    assert ask("/categories").status_code == 200

    @contextmanager
    def open_page(path, *, theme="light", width=1280, scripts=True):
        context = chromium.new_context(
            viewport={"width": width, "height": 860}, color_scheme=theme, java_script_enabled=scripts
        )
        context.add_cookies([{"name": "_token", "value": tokens["user"], "url": address}])
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(f"{address}/classifier{path}")
        yield page
        context.close()

    return open_page


def shoot(page, name):
    if PICTURES:
        width = page.viewport_size["width"]
        page.set_viewport_size({"width": width, "height": 860})
        height = page.locator("html").evaluate("root => root.scrollHeight")  # a bar at the window's end hides nothing
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(500)
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_merge_is_previewed_and_then_applied(opened, newsroom, scripts):
    with opened("/categories", scripts=scripts) as page:
        page.get_by_role("checkbox", name="corn").check()
        page.get_by_label("Name, former name or description").fill("whe")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("checkbox", name="wheat").check()
        assert page.get_by_role("checkbox", name="corn").is_checked()
        page.get_by_role("button", name="Merge").click()
        assert page.get_by_label("Categories, one a line").input_value() == "corn\nwheat"
        page.get_by_label("Into").fill("corn and wheat")
        page.get_by_label("Reason").fill("one reporter writes about both")
        page.get_by_role("button", name="Preview").click()
        page.get_by_text("nothing has changed yet").wait_for()
        assert len(overview.read_history(newsroom)) == 7
        page.get_by_role("button", name="Apply").click()
        page.get_by_text("Done: corn, wheat merged into corn and wheat.").wait_for()
    assert overview.show_category(newsroom, "wheat").category == "corn and wheat"


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)])
def test_list_preview_and_error_fit_their_window(opened, theme, width):
    suffix = f"{'-narrow' if width == 400 else ''}{'-dark' if theme == 'dark' else ''}"
    with opened("/categories?closed=1&name=corn&name=wheat", theme=theme, width=width) as page:
        shoot(page, f"categories{suffix}")
        page.get_by_role("button", name="Merge").click()
        page.get_by_label("Into").fill("corn and wheat")
        page.get_by_label("Reason").fill("one reporter writes about both")
        page.get_by_role("button", name="Preview").click()
        page.get_by_text("nothing has changed yet").wait_for()
        assert page.locator("html").evaluate("root => root.scrollWidth - root.clientWidth") <= 0
        shoot(page, f"categories-preview{suffix}")
        page.get_by_label("Into").fill("interest")
        page.get_by_role("button", name="Preview again").click()
        page.get_by_role("alert").wait_for()
        assert page.locator("html").evaluate("root => root.scrollWidth - root.clientWidth") <= 0
        shoot(page, f"categories-error{suffix}")
