"""The classifier's pages in a whole Airflow and a real browser. The tests build on each other."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

import pytest

from classifier import registry
from classifier.pipeline.database import tasks
from classifier.pipeline.labelling import queue
from classifier.pipeline.promotion import decisions, evaluation, history, model_details
from classifier.pipeline.review import review_queue
from classifier.pipeline.training import candidate
from classifier.training.recipes import files
from tests.support.synthetic import LENIENT, WORDS, articles, ingest_file, query, unlabelled
from tests.support.tiny_models import make_artefact, make_encoder

pytest.importorskip("playwright")

from tests.support import airflow_ui, planted_secrets

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(airflow_ui.CHROMIUM is None, reason="no chromium here"),
]

PAGES = ("Overview", "Models", "Categories", "Review", "Drift", "Problems")

PICTURES = os.environ.get("CLASSIFIER_TEST_PICTURES")
"""Folder to which screenshots are written, if it is set."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("airflow") / "home"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    words = [*(word for topic in WORDS.values() for word in topic), "the"]
    return make_encoder(tmp_path_factory.mktemp("encoder") / "tiny", words=words, dim=32, heads=4, hidden_dim=64)


@pytest.fixture(scope="module")
def airflow(home, encoder):
    with airflow_ui.started(home, encoder=encoder) as started:
        yield started


def shoot(page, name):
    if PICTURES:
        page.wait_for_timeout(500)
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


@pytest.fixture(scope="module")
def filled(airflow, encoder, tmp_path_factory):
    """Two models, of which the second is champion, have labelled the articles without annotations."""
    folder, workspace = tmp_path_factory.mktemp("files"), airflow.workspace
    ingest_file(workspace, folder / "annotated.csv", articles(300))
    ingest_file(workspace, folder / "incoming.csv", unlabelled(120, seed=1, prefix="i"))
    names = []
    for epochs in (1, 3):
        recipe = files.load_recipe("r8", epochs=epochs, learning_rate=0.01, dtype="float32")
        names.append(candidate.train(workspace, recipe, encoder_name=str(encoder), min_new_annotations=0).model)
        evaluation.evaluate(workspace, names[-1])
        assert decisions.promote_if_better(workspace, names[-1], margins=LENIENT).promoted
        queue.label_queue(workspace)
    return names


def test_an_empty_database_says_what_to_do_first(airflow):
    with airflow.logged_in() as page:
        inside = airflow.classifier(page)
        inside.locator("#champion", has_text="There is no champion yet").wait_for()
        shoot(page, "page-empty")


def test_the_page_is_in_the_navigation(airflow):
    with airflow.logged_in() as page:
        page.get_by_role("button", name="Browse").click()
        page.get_by_role("menuitem", name="Classifier").click()
        assert airflow_ui.frame(page).locator("#champion").is_visible()


def test_the_overview_shows_the_champion_and_the_backlog_without_violating_its_own_policy(airflow, filled):
    with airflow.logged_in() as page:
        messages = []
        page.on("console", lambda message: messages.append(message.text))
        inside = airflow.classifier(page)
        for _ in range(60):  # what the empty page has read is kept for a minute
            if "420 labelled" in inside.locator("#labels").inner_text():
                break
            page.wait_for_timeout(2000)
            inside = airflow.classifier(page)
        assert inside.locator(".name").inner_text() == filled[1]
        assert "420 labelled" in inside.locator("#labels").inner_text()
        inside.locator("svg").first.wait_for()
        shoot(page, "page")
        before = inside.locator(".updated").inner_text()
        inside.locator(".updated").filter(has_not_text=before).wait_for()
        assert not [line for line in messages if "Content Security" in line]


def test_the_pages_follow_airflows_theme(airflow, filled):
    with airflow.logged_in(theme="dark") as page:
        inside = airflow.classifier(page)
        colour = inside.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
        assert colour == "rgb(22, 23, 27)"
        shoot(page, "page-dark")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_fits_a_telephone(airflow, filled, theme):
    with airflow.logged_in(theme=theme, width=400, height=900) as page:
        for title in PAGES:
            inside = airflow.classifier(page, title)
            inside.locator("section, .empty").first.wait_for()
            wide = inside.locator("html").evaluate("root => root.scrollWidth - root.clientWidth")
            assert wide <= 0, title
            shoot(page, "page-narrow" if (title, theme) == ("Overview", "light") else f"narrow-{title.lower()}-{theme}")


def test_the_pages_are_reached_by_keyboard_and_the_focus_is_visible(airflow, filled):
    with airflow.logged_in() as page:
        inside = airflow.classifier(page)
        inside.locator("body").evaluate("body => { body.tabIndex = -1; body.focus() }")
        page.keyboard.press("Tab")
        assert inside.locator(":focus").inner_text() == "Skip to the content"
        for title in PAGES:
            page.keyboard.press("Tab")
            assert inside.locator(":focus").inner_text() == title
            assert inside.locator(":focus").evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        inside.locator("nav [aria-current]", has_text=PAGES[-1]).wait_for()


def test_a_rollback_by_keyboard_changes_the_champion(airflow, filled):
    with airflow.logged_in() as page:
        inside = airflow.classifier(page, "Models")
        summary = inside.locator("summary", has_text="Roll back")
        summary.focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.type("it was better on trade")
        shoot(page, "rollback")
        page.keyboard.press("Enter")
        inside.locator(".message").wait_for()
        assert "The champion has changed" in inside.locator(".message").inner_text()
    decided = history.read_history(airflow.workspace)[0]
    assert (decided.model, decided.verdict) == (filled[0], "rolled back")
    assert (decided.reason, decided.decided_by) == ("it was better on trade", "admin, Airflow's UI")


def test_an_article_is_annotated_by_keyboard(airflow, filled):
    review_queue.fill_queue(airflow.workspace, number=10, audit=0)
    with airflow.logged_in() as page:
        inside = airflow.classifier(page)
        inside.get_by_role("link", name="Review", exact=True).click()
        inside.get_by_role("link", name="Review articles").click()
        first = inside.locator("#which").inner_text()
        shoot(page, "review-in-airflow")
        airflow_ui.press(inside, "s")
        inside.locator("#which").filter(has_not_text=first).wait_for()
        airflow_ui.press(inside, "c")
        page.keyboard.type("2s and bs are letters here")
        page.keyboard.press("Escape")
        airflow_ui.press(inside, "2")
        inside.get_by_text("9 waiting").wait_for()
        airflow_ui.press(inside, "b")
        inside.get_by_text("You annotated it as sport").wait_for()
    by_people = "SELECT categories[1], annotator, comment FROM annotations WHERE annotator NOT LIKE 'source:%'"
    (annotation,) = query(airflow.workspace.database, by_people)
    assert annotation == ("sport", "admin", "2s and bs are letters here")


def test_a_promotion_is_a_run_whose_tab_shows_candidate_curves_and_verdict(airflow, filled):
    airflow.client.unpause("retrain_classifier")
    for run in airflow.client.unfinished("retrain_classifier"):
        airflow.finished(run)  # the scheduled run: there are no new annotations, so it skips
    with airflow.logged_in() as page:
        inside = airflow.classifier(page, "Models")
        inside.locator("summary", has_text="Promote").click()
        inside.locator("select[name=model]").select_option(filled[1])
        inside.locator("form[action$=promote] input[name=reason]").fill("a second look")
        inside.get_by_role("button", name="Apply the gate").click()
        inside.locator(".message").wait_for()
        (run,) = (run for run in airflow.client.unfinished("retrain_classifier") if run.id.startswith("manual"))
        assert airflow.finished(run).state == "success"
        inside = airflow.tab(page, run)
        assert inside.locator("h1").inner_text() == filled[1]
        assert inside.locator("svg").count() >= 2
        assert inside.locator(".decisions li").count() == 2
        shoot(page, "run-retrain")
    decided = history.read_history(airflow.workspace)[0]
    assert decided.statistics["asked"] == {"by": "admin", "reason": "a second look"}


@pytest.mark.parametrize(
    ("answer", "verdict", "reason", "by"),
    [
        ("Approve", "promoted", "", "admin, retrain_classifier"),
        ("Reject", "held", "declined by admin", "admin, retrain_classifier"),
        (None, "held", "no user responded in time", "no user, retrain_classifier"),
    ],
    ids=["approved", "rejected", "timed out"],
)
def test_a_promotion_that_needs_approval_follows_the_response(airflow, filled, answer, verdict, reason, by):
    champion = model_details.describe_model(airflow.workspace, "champion").name
    candidate = next(name for name in filled if name != champion)
    conf = {"candidate": candidate, "require_approval": True, "gate": asdict(LENIENT)}
    run = airflow.client.trigger("retrain_classifier", conf)
    assert airflow.settled(run, "approve", answer).state == "success", airflow.why(run)
    decided = history.read_history(airflow.workspace)[0]
    assert (decided.model, decided.verdict, decided.decided_by) == (candidate, verdict, by)
    assert reason in decided.reason
    assert model_details.describe_model(airflow.workspace, "champion").name == (
        candidate if answer == "Approve" else champion
    )


def test_a_labelling_runs_tab_shows_rate_rows_and_failures(airflow, filled, tmp_path):
    ingest_file(airflow.workspace, tmp_path / "more.csv", unlabelled(50, seed=2, prefix="m"))
    run = airflow.client.trigger("label_articles", {})
    airflow.client.unpause("label_articles")
    airflow.finished(run)
    with airflow.logged_in() as page:
        inside = airflow.tab(page, run)
        assert re.search(r"Labelled\s+50", inside.locator(".figures").inner_text())
        shoot(page, "run-label")


def test_no_secret_is_leaked(airflow, filled):
    """After the tests above, and with sources whose databases do not answer or refuse the login."""
    connection = {"connection_id": planted_secrets.CONNECTION, "conn_type": "postgres", "host": "127.0.0.1", "port": 1}
    password = airflow.secrets["a source's connection"]
    airflow.client.create_connection(connection | {"login": "reader", "password": password})
    run = airflow.client.trigger("ingest_articles", {"group": "secret"})
    airflow.client.unpause("ingest_articles")
    airflow.tried(run, "ingest", len(planted_secrets.SOURCES))
    pages = [
        airflow.read(f"/classifier/{path}")
        for path in ("", "models", "review", "drift", f"runs/ingest_articles/{quote(run.id)}")
    ]
    pages += [airflow.read(f"/api/v2/connections/{planted_secrets.CONNECTION}"), *airflow.logs(run)]
    airflow.client.end(run, "the databases will not answer")
    written = dict(planted_secrets.visible_contents(airflow.config))
    assert "port 1 failed" in "".join(pages), "the failures are shown"
    assert any("ingest_articles" in name and name.endswith(".log") for name in written)
    assert b"by_connection" in written["the database airflow"]
    shown = written | {f"page {number}": page.encode() for number, page in enumerate(pages)}
    leaks = [(purpose, name) for name, content in shown.items() for purpose, secret in airflow.secrets.items()
             if secret.encode() in content]  # fmt: skip
    assert leaks == []


@pytest.fixture(scope="module")
def second_task(airflow, filled):
    """The first task is called topic; the task author has the champion a1."""
    tasks.rename(airflow.workspace, "default", "topic")
    tasks.add(airflow.workspace, "author", description="who wrote it")
    opened = airflow.workspace.with_task("author")
    artefact = make_artefact(airflow.config.models / "a1")
    with opened.database.begin() as connection:
        model = registry.register(connection, "a1", artefact, {})
        registry.decide(connection, model, "promoted", "because", decided_by="test", statistics={})


def test_the_task_switch_survives_links_and_a_refresh(airflow, second_task):
    with airflow.logged_in() as page:
        for _ in range(30):  # the list of tasks is kept for some seconds
            inside = airflow.classifier(page)
            if inside.locator("nav.tasks").count():
                break
            page.wait_for_timeout(1000)
        shoot(page, "page-tasks")
        inside.get_by_role("link", name="author", exact=True).click()
        inside.locator(".name", has_text="a1").wait_for()
        inside.get_by_role("link", name="Models", exact=True).click()
        inside.locator(".models th", has_text="a1").wait_for()
        assert inside.locator(".models tbody tr").count() == 1
        inside.get_by_role("link", name="Overview", exact=True).click()
        inside.locator(".name", has_text="a1").wait_for()
        updated = inside.locator(".updated").inner_text()
        inside.locator(".updated").filter(has_not_text=updated).wait_for()
        assert inside.locator("#backlog").get_attribute("data-live").endswith("?task=author")
        inside.locator("body").evaluate("() => { location.reload() }")
        inside.locator(".name", has_text="a1").wait_for()
        assert inside.locator("nav.tasks [aria-current]").inner_text() == "author"
        inside.get_by_role("link", name="topic", exact=True).click()
        inside.locator(".name").filter(has_not_text="a1").wait_for()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_task_switch_fits_a_telephone(airflow, second_task, theme):
    with airflow.logged_in(theme=theme, width=400, height=900) as page:
        inside = airflow.classifier(page)
        inside.locator("nav.tasks").wait_for()
        wide = inside.locator("html").evaluate("root => root.scrollWidth - root.clientWidth")
        assert wide <= 0
        shoot(page, f"tasks-narrow-{theme}")
