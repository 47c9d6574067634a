"""With a thousand categories every page stays small, and no page blocks Airflow's API server."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from classifier.articles import Model
from classifier.evaluation import results
from classifier.evaluation.metrics import compute_metrics
from classifier.evaluation.test_articles import Predictions
from classifier.store import evaluations, model_rows, promotions
from tests.support.factories import make_articles
from tests.support.page_routes import FORMS, routes
from tests.support.synthetic import add_articles, annotate, query, run
from tests.support.tiny_models import make_artefact
from tests.support.waiting import HANG_S, wait_for

pytestmark = pytest.mark.filterwarnings("default")

MANY = 1_000
NAMES = tuple(f"category {number:04d} with a name of an ordinary length" for number in range(MANY))
MAX_BYTES = 1_000_000
"""Largest size of a page in bytes."""


def metrics(categories=NAMES):
    """An evaluation in which every category has three articles and loses one of them to another category."""
    truth = np.repeat(np.array(categories), 3)
    predicted = truth.copy()
    predicted[::3] = np.roll(np.array(categories), 1)
    sources = np.array([f"source {number}" for number in range(len(truth))])
    columns = {name: column for column, name in enumerate(categories)}
    probabilities = np.full((len(truth), len(categories)), 0.1 / (len(categories) - 1))
    probabilities[np.arange(len(truth)), [columns[category] for category in predicted]] = 0.9
    # the intervals do not matter here, and take a minute for a thousand categories
    built = results.build_results(
        make_articles(truth[:60], sources=sources[:60]), Predictions(categories, probabilities[:60]), predicted[:60]
    )
    totals = compute_metrics(list(truth), list(predicted)).as_json()
    slices = (
        [{**built["slices"][0], "name": source} for source in sources] if len(categories) == MANY else built["slices"]
    )
    evaluation = {"baseline": totals, "engine": "e", "articles_per_second": 9.0, "report": {**built, "slices": slices}}
    return json.loads(json.dumps({**totals, **evaluation}))


@pytest.fixture(scope="module")
def evaluated():
    return metrics()


@pytest.fixture
def many(workspace, evaluated):
    """A champion and a candidate that know a thousand categories, an article of each, and some to review."""
    with workspace.database.begin() as connection:
        ids = add_articles(connection, [(f"a{n}", f"text {n}", "train") for n in range(MANY)])
        waiting = add_articles(connection, [(f"w{n}", f"text {n} to review", "train") for n in range(20)])
        for article, name in zip(ids, NAMES, strict=True):
            annotate(connection, article, name, "source:s")
        for name in ("m1", "m2"):
            files = make_artefact(workspace.models / name)
            model_id = model_rows.register(
                connection, name=name, artefact=str(files.directory), manifest_sha256=files.manifest_sha256,
                categories=NAMES, training={"data": {"articles": 9, "by_category": dict.fromkeys(NAMES, 1)}},
            )  # fmt: skip
            scores = {"data_sha256": "d", "articles": 3 * MANY, "accuracy": 0.6, "macro_f1": 0.6}
            evaluations.add(connection, model_id, "test", {**scores, "metrics": evaluated})
        champion = model_rows.by_name(connection, "m1")
        assert isinstance(champion, Model)
        model_rows.make_champion(connection, champion.id)
        promotions.record(
            connection, champion.id, previous_id=None, verdict="promoted", reason="because", decided_by="test"
        )
        assert promotions.history(connection)
    run(
        workspace.database,
        "INSERT INTO review_queue (article_id, model_id, revision, reason, predicted_categories, confidence) "
        "SELECT id, :model, 1, 'uncertain', ARRAY[:category], 0.5 FROM articles WHERE id = ANY(:waiting)",
        waiting=waiting,
        model=champion.id,
        category=NAMES[7],
    )
    return ids


class TestSize:
    @pytest.mark.usefixtures("many")
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/models",
            "/models/m2",
            "/categories",
            "/categories?change=merge&closed=1",
            "/review",
            "/review/next",
            "/drift",
            "/problems",
        ],
    )
    def test_every_page_is_small(self, ask, path):
        page = ask(path, "user")
        assert page.status_code == 200
        assert "does not answer" not in page.text
        assert len(page.content) < MAX_BYTES
        assert len(re.findall(r"<t[dh]\b", page.text)) < 2_500

    @pytest.mark.usefixtures("many")
    def test_a_models_page_shows_the_most_confused_pairs_and_counts_the_others(self, ask):
        page = ask("/models/m2").text
        assert "The pairs that are confused most, of 1,000 categories" in page
        assert "And 970 more; the most frequent first." in page
        assert "And 950 more; the lowest F1 first." in page
        assert "And 2,960 more; the slices with the most articles are shown." in page

    @pytest.mark.usefixtures("many")
    def test_one_of_a_thousand_categories_is_chosen_by_typing_without_a_script(self, ask, workspace):
        page = ask("/review/next?after=0", "user").text
        assert page.count("<option>") == MANY
        assert page.count('<button name="category"') == 1, "the one that the model suggests"
        article = re.search(r'name="article" value="(\d+)"', page)[1]
        form = {"article": article, "revision": "1", "typed": NAMES[501], "comment": ""}
        assert ask("/review/annotate", "user", method="POST", data={**form, "typed": "categroy"}).status_code == 409
        assert ask("/review/annotate", "user", method="POST", data={**form, "typed": ""}).status_code == 422
        assert ask("/review/annotate", "user", method="POST", data=form).status_code == 303
        people = "SELECT categories[1] FROM annotations WHERE annotator = 'ada the user'"
        assert query(workspace.database, people) == [(NAMES[501],)]


class TestEventLoop:
    @pytest.fixture
    def threads(self, monkeypatch):
        """The threads that rendered or decided something, and the thread of the event loop."""
        from classifier_ui import permissions, templating

        thread_ids, render, may = set(), templating.render, permissions._may

        def rendered(*args, **values):
            thread_ids.add(threading.get_ident())
            return render(*args, **values)

        def decided(*args):
            thread_ids.add(threading.get_ident())
            return may(*args)

        monkeypatch.setattr(templating, "render", rendered)
        monkeypatch.setattr(permissions, "_may", decided)
        return thread_ids

    @pytest.mark.usefixtures("workspace")
    def test_no_route_renders_or_checks_permissions_in_the_event_loop(
        self, page_app, ask, airflow, threads, monkeypatch
    ):
        from unittest.mock import Mock

        from classifier_ui import actions

        monkeypatch.setattr(actions, "trigger_dag", Mock())
        client, _ = airflow
        loop = client.portal.call(threading.get_ident)
        for method, _, path in routes(page_app):
            ask(path, "admin", method=method, data=FORMS if method == "POST" else None)
        assert threads
        assert loop not in threads

    @pytest.mark.usefixtures("workspace")
    def test_pages_that_never_end_do_not_block_airflow_or_its_threads(self, ask, airflow, monkeypatch):
        from classifier_ui import templating

        client, _ = airflow
        free, rendering_now, most = threading.Event(), [], []
        render = templating.render

        def slow(*args, **values):
            rendering_now.append(1)
            most.append(len(rendering_now))
            assert free.wait(HANG_S)
            rendering_now.pop()
            return render(*args, **values)

        monkeypatch.setattr(templating, "render", slow)
        with ThreadPoolExecutor(60) as users:
            pages = [users.submit(ask, "/models") for _ in range(60)]
            wait_for(lambda: len(rendering_now) == templating.RENDERERS)
            # more pages wait than the API server has threads
            assert client.get("/api/v2/version").status_code == 200
            assert ask("/static/page.css").status_code == 200
            assert not any(page.done() for page in pages)
            free.set()
            assert {page.result(HANG_S).status_code for page in pages} == {200}
        assert max(most) == templating.RENDERERS

    @pytest.mark.usefixtures("airflow")
    def test_a_failed_rendering_raises_its_error_and_the_next_one_works(self):
        from classifier_ui import templating
        from jinja2 import TemplateNotFound

        async def story():
            for _ in range(templating.RENDERERS + 1):
                with pytest.raises(TemplateNotFound):
                    await templating.render_in_thread("no such template")
            return await templating.render_in_thread("error.html", root="", message="hello")

        assert "hello" in asyncio.run(story())


@pytest.mark.usefixtures("airflow")
def test_with_few_categories_the_whole_matrix_is_shown():
    from classifier.evaluation.page import html

    few = metrics(NAMES[:8])
    assert html.confusion(few).count("<td") == 64
    assert "more;" not in html.sections(html.Subject("m", few), None)
