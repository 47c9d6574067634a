"""The classifier's pages in a real Airflow: permissions, contents, and isolation from Airflow itself."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import pytest

from classifier import registry
from classifier.pipeline.labelling import dead_letters, queue
from classifier.pipeline.promotion import history
from tests.support.page_routes import FORMS, PATH_VALUES, ROLES, routes
from tests.support.paths import ROOT
from tests.support.synthetic import add_articles, annotate, ingest_file, run, unlabelled, value
from tests.support.tiny_models import make_artefact
from tests.support.waiting import HANG_S, wait_for

pytestmark = pytest.mark.filterwarnings("default")

TABLE = ROOT / "docs" / "reference" / "permissions.md"
EVIL = '"><script>alert(1)</script>&'


@pytest.fixture
def two(workspace, tmp_path):
    """Forty articles, labelled by m1 and then by m2, which is champion; and a row that was rejected."""
    ingest_file(
        workspace, tmp_path / "x.csv", [*unlabelled(40), {"id": "bad", "text": "", "category": EVIL}], max_rejected=1
    )
    for name, seed in (("m1", 0), ("m2", 5)):
        files = make_artefact(workspace.models / name, seed=seed)
        with workspace.database.begin() as connection:
            model = registry.register(connection, name, files, {})
            registry.decide(connection, model, "promoted", EVIL, decided_by="test", statistics={})
        queue.label_queue(workspace)


def answers(app, ask):
    """Yield the response of every route for every role."""
    for method, route, path in routes(app):
        data = FORMS if method == "POST" else None
        yield method, route, {role: ask(path, role, method=method, data=data) for role in ROLES}


def permissions():
    """Every permission on a DAG of the classifier that a route may ask for: method, kind of entity, DAG."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from classifier_ui import permissions

    dags = (permissions.RETRAIN, permissions.LABEL, permissions.INGEST, permissions.REVIEW, permissions.DRIFT)
    yield from (("GET", None, dag) for dag in dags)
    yield from (("GET", entity, PATH_VALUES["dag"]) for entity in permissions.OF_A_RUN if entity)
    yield ("PUT", None, permissions.RETRAIN)
    yield from (("POST", DagAccessEntity.RUN, dag) for dag in dags)


def named(permission):
    method, entity, dag = permission
    return f"{method} `{dag}`" + (f" {entity.name.lower().replace('_', ' ')}s" if entity else "")


@pytest.fixture
def refuse(airflow, monkeypatch):
    """Have Airflow's auth manager refuse one permission to everybody, and decide on the others itself."""
    from airflow.api_fastapi.app import get_auth_manager

    manager = type(get_auth_manager())
    decide, refused = manager.is_authorized_dag, set()

    def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
        asked = (method, access_entity, details.id if details else None)
        return asked not in refused and decide(
            self, method=method, user=user, access_entity=access_entity, details=details
        )

    monkeypatch.setattr(manager, "is_authorized_dag", is_authorized_dag)

    def only(*permissions):
        refused.clear()
        refused.update(permissions)

    return only


def cached_names(app):
    """Return what the cache holds, without the tasks that it was read for."""
    return {key[0] if isinstance(key, tuple) else key for key in app.state.cache._entries}


def word(answer):
    return {401: "log in", 403: "refused"}.get(answer.status_code, "allowed")


class TestPermissions:
    @pytest.mark.usefixtures("workspace")
    def test_every_route_checks_the_user_and_the_documented_table_is_true(self, page_app, ask, refuse, monkeypatch):
        from classifier_ui import actions

        monkeypatch.setattr(actions, "trigger_dag", Mock())
        needs = self.needed(page_app, ask, refuse)
        lines = ["| method | route | needs | anonymous | viewer | user | admin |", f"|{' --- |' * 7}"]
        for method, route, responses in answers(page_app, ask):
            words = {role: word(responses[role]) for role in ROLES}
            asked = ", ".join(map(named, needs[method, route])) or "a login"
            if "{dag}" in route:
                asked = asked.replace(PATH_VALUES["dag"], "{dag}")
            lines.append(f"| {method} | `/classifier{route}` | {asked} | {' | '.join(words.values())} |")
            assert bool(needs[method, route]) == ("/static/" not in route), route
            assert words["anonymous"] == "log in", route
            assert words["viewer"] == ("allowed" if method == "GET" else "refused"), route
            assert all(response.status_code != 500 for response in responses.values()), route
        if os.environ.get("CLASSIFIER_TEST_WRITE"):
            kept = TABLE.read_text(encoding="utf-8").split("| method")[0]
            TABLE.write_text(kept + "\n".join(lines) + "\n", encoding="utf-8")
        assert "\n".join(lines) in TABLE.read_text(encoding="utf-8"), "set CLASSIFIER_TEST_WRITE=1 to write it"

    def needed(self, page_app, ask, refuse):
        """Return the permissions without which even an administrator is refused, by method and route."""
        required = {(method, route): [] for method, route, _ in routes(page_app)}
        for permission in permissions():
            refuse(permission)
            for method, route, path in routes(page_app):
                answer = ask(path, "admin", method=method, data=FORMS if method == "POST" else None)
                if answer.status_code == 403:
                    required[method, route].append(permission)
        refuse()
        return required

    @pytest.mark.usefixtures("workspace")
    @pytest.mark.parametrize("dag", ["ingest_articles", "label_articles", "retrain_classifier"])
    def test_a_runs_tab_needs_permission_on_the_dag_in_its_address_and_on_no_other(self, ask, refuse, dag):
        others = {"ingest_articles", "label_articles", "retrain_classifier"} - {dag}
        refuse(*(("GET", None, other) for other in others))
        assert ask(f"/runs/{dag}/manual__1", "viewer").status_code == 200
        assert {ask(f"/runs/{other}/manual__1", "admin").status_code for other in others} == {403}

    @pytest.mark.usefixtures("two")
    def test_a_section_is_neither_read_nor_shown_for_users_who_may_not_read_its_dag(self, page_app, ask, refuse):
        from classifier_ui.sections import PAGES

        for page in PAGES:
            for section in page.sections:
                if section.dag == "retrain_classifier":  # the whole page is refused
                    continue
                refuse(("GET", None, section.dag))
                text = ask(f"/{page.path}", "admin").text
                assert f"may not read {section.dag}" in text
                assert section.name not in cached_names(page_app)
                refuse()
                assert f"may not read {section.dag}" not in ask(f"/{page.path}", "admin").text
                assert section.name in cached_names(page_app)
                page_app.state.cache._entries.clear()

    def test_the_application_has_only_routes_and_changes_need_a_post(self, page_app):
        from fastapi.routing import APIRoute

        assert all(isinstance(route, APIRoute) for route in page_app.routes)
        assert {method for method, _, _ in routes(page_app)} == {"GET", "POST"}
        assert len(routes(page_app)) >= 11

    @pytest.mark.usefixtures("workspace")
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": "http://airflow"},
            {"Origin": "http://evil"},
            {"Origin": "null"},
        ],
    )
    def test_a_page_of_another_site_cannot_change_anything(self, page_app, ask, headers):
        for method, _, path in routes(page_app):
            if method == "POST":
                answer = ask(path, "admin", method=method, headers=headers, data=FORMS)
                assert answer.status_code == 403
                assert "The request came from another site" in answer.text
                assert "Your role" not in answer.text

    @pytest.mark.usefixtures("workspace")
    def test_a_browser_that_only_names_the_origin_is_accepted(self, ask):
        answer = ask("/dead-letters", "admin", method="POST", headers={"Origin": "http://airflow"})
        assert answer.status_code == 303

    @pytest.mark.usefixtures("two")
    def test_buttons_of_refused_actions_are_not_shown(self, ask):
        assert "<form" not in ask("/models", "viewer").text
        assert "Your role may see the models" in ask("/models", "viewer").text
        assert ask("/models", "user").text.count("<form") == 2


class TestWhatIsShown:
    @pytest.mark.usefixtures("two")
    def test_names_texts_and_reasons_cannot_break_out(self, ask):
        pages = [ask(path, "admin").text for path in ("/", "/models", "/models/m1", "/problems")]
        assert any("&lt;script&gt;" in page for page in pages)
        for page in pages:
            assert "<script>" not in page
            assert "alert(1)</script>" not in page

    @pytest.mark.usefixtures("two")
    def test_no_page_runs_or_styles_anything_but_its_own_files(self, page_app, ask):
        for method, route, responses in answers(page_app, ask):
            if method == "GET":
                answer = responses["viewer"]
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy, route
                assert "unsafe" not in policy
                assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:|https?://", answer.text), route
                assert set(re.findall(r'(?:src|<link rel="stylesheet" href)="([^"?]+)', answer.text)) <= {
                    f"/classifier/static/{name}"
                    for name in ("page.css", "charts.css", "evaluation.css", "page.js", "theme.js")
                }

    @pytest.mark.usefixtures("two")
    def test_the_overview_shows_champion_backlog_and_labels(self, ask):
        page = ask("/").text
        assert re.search(r'class="name"><a href="/classifier/models/m2">m2</a>', page)
        assert "no article is waiting" in page
        assert "40 labelled, 0 not" in page
        assert 'data-live="/classifier/sections/backlog"' in page

    @pytest.mark.usefixtures("two")
    def test_the_overview_warns_of_categories_that_the_champion_does_not_know(self, ask, workspace):
        with workspace.database.begin() as connection:
            (article,) = add_articles(connection, [("p", "politics", "test")])
            annotate(connection, article, "politics")
        page = ask("/").text
        assert "WARNING: the champion m2 does not know 1 annotated category (politics: 1 article)" in page
        assert "WARNING: 1 annotated category (politics: 1 article) without an article in the train split" in page

    @pytest.mark.usefixtures("workspace")
    @pytest.mark.parametrize(
        ("path", "says"),
        [
            ("/", "There is no champion yet"),
            ("/", "There are no articles yet"),
            ("/models", "Start the DAG <code>retrain_classifier</code>"),
            ("/problems", "every row of every source was ingested"),
            ("/models/m9", "no such model"),
            ("/runs/label_articles/none", "This tab shows only the runs of"),
            ("/runs/another_dag/none", "This tab shows only the runs of"),
        ],
    )
    def test_an_empty_page_says_what_to_do(self, ask, path, says):
        assert says in ask(path).text

    @pytest.mark.usefixtures("workspace")
    def test_an_unknown_page_is_not_found(self, ask):
        assert ask("/sections/models").status_code == 404
        assert ask("/static/../app.py").status_code == 404
        assert ask("/nothing").status_code == 404


class TestWhatIsDone:
    @pytest.mark.usefixtures("two")
    def test_a_rollback_changes_the_champion_and_keeps_who_and_why(self, ask, workspace):
        assert "m2</a>" in ask("/", "user").text
        form = {"to": "m1", "reason": " the labels of <b>trade</b> are bad "}
        answer = ask("/rollback", "user", method="POST", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/classifier/models?done=rolled-back")
        decided = history.read_history(workspace)[0]
        assert (decided.model, decided.verdict, decided.previous) == ("m1", "rolled back", "m2")
        assert decided.reason == "the labels of <b>trade</b> are bad"
        assert decided.decided_by == "ada the user, Airflow's UI"
        assert "m1</a>" in ask("/", "user").text, "nothing older is shown"
        after = ask("/models?done=rolled-back", "user").text
        assert "The champion has changed" in after
        assert "&lt;b&gt;trade&lt;/b&gt;" in after

    @pytest.mark.usefixtures("two")
    def test_a_failed_action_shows_one_line_and_changes_nothing(self, ask, workspace):
        before = history.read_history(workspace)
        answer = ask("/rollback", "user", method="POST", data={"to": "m2", "reason": "again"})
        assert answer.status_code == 409
        assert "m2: it is the champion already" in answer.text
        assert ask("/rollback", "user", method="POST", data={"to": "m1"}).status_code == 422
        assert history.read_history(workspace) == before

    @pytest.mark.usefixtures("two")
    def test_promoting_and_reading_again_are_runs_in_the_users_name(self, ask, monkeypatch):
        from classifier_ui import actions

        asked = []
        monkeypatch.setattr(actions, "trigger_dag", lambda dag, **more: asked.append((dag, more)))
        form = {"model": "m1", "reason": "it is better on trade"}
        assert ask("/promote", "user", method="POST", data=form).status_code == 303
        assert ask("/rejected-rows", "user", method="POST").status_code == 303
        assert ask("/promote", "user", method="POST", data={**form, "model": "m9"}).status_code == 409
        (retrain, promoting), (ingest, reading) = asked
        assert (retrain, ingest) == ("retrain_classifier", "ingest_articles")
        assert promoting["conf"] == {"candidate": "m1", "reason": "it is better on trade", "min_new_annotations": 0}
        assert reading["conf"] == {"rejected": True}
        assert promoting["triggering_user_name"] == "ada the user"

    def test_the_conf_of_a_triggered_run_has_parameters_of_its_dag(self, dagbag):
        assert {"candidate", "reason", "min_new_annotations"} <= set(dagbag.dags["retrain_classifier"].params)
        assert "rejected" in dagbag.dags["ingest_articles"].params

    @pytest.mark.usefixtures("two")
    def test_dead_letters_are_retried(self, ask, workspace):
        run(
            workspace.database,
            "INSERT INTO dead_letters (article_id, model_id, revision, reason) "
            "SELECT min(articles.id), max(models.id), 1, 'out of memory' FROM articles, models",
        )
        assert "out of memory" in ask("/problems").text
        assert ask("/dead-letters", "user", method="POST").status_code == 303
        assert dead_letters.list_dead_letters(workspace) == []
        assert "out of memory" not in ask("/problems").text


class TestABadDatabase:
    @pytest.fixture
    def silent(self):
        """A server that accepts connections and never answers."""
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen(64)
            yield server.getsockname()[1]

    @pytest.mark.usefixtures("two")
    def test_a_database_that_hangs_does_not_hang_the_api_server(self, ask, airflow, workspace):
        client, _ = airflow
        assert ask("/sections/none").status_code == 404  # reads the list of tasks, so that the requests are not in step
        threads = threading.active_count()
        with ThreadPoolExecutor(30) as many:
            with workspace.database.begin() as connection:
                connection.exec_driver_sql("LOCK TABLE models IN ACCESS EXCLUSIVE MODE")
                pages = [many.submit(ask, path) for path in ("/", "/models", "/drift") * 10]
                wait_for(lambda: value(workspace.database, "SELECT count(*) FROM pg_locks WHERE NOT granted") >= 3)
                assert client.get("/api/v2/version").status_code == 200
                assert not any(page.done() for page in pages), "Airflow answered while the pages waited"
                assert threading.active_count() - threads < 60
            responses = [page.result(HANG_S) for page in pages]
        assert all("m2</a>" in response.text for response in responses)

    def test_a_request_waits_for_a_silent_database_for_a_limited_time(self, ask, page_app, silent, monkeypatch):
        from classifier_ui.reading_cache import Cache

        page_app.state.cache = Cache(timeout_s=0.5)
        monkeypatch.setenv("CLASSIFIER_PAGE_TIMEOUT_S", "5")
        parts = {"conn_type": "postgres", "host": "127.0.0.1", "port": silent, "login": "x", "schema": "x"}
        monkeypatch.setenv("AIRFLOW_CONN_ARTICLES", json.dumps(parts))
        with ThreadPoolExecutor(30) as many:
            responses = list(many.map(ask, ("/", "/models", "/problems") * 10))
        assert all("the database does not answer" in response.text for response in responses)

    def test_a_database_that_is_down_is_named_without_its_password(self, ask, monkeypatch):
        from classifier_ui import workspaces

        parts = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "x", "schema": "x"}
        monkeypatch.setenv("AIRFLOW_CONN_ARTICLES", json.dumps({**parts, "password": "not-to-be-seen"}))
        pages = []

        def named():
            workspaces.close()  # a thread that still hangs from the test before may have opened another database
            pages.append(ask("/").text)
            return "127.0.0.1:1" in pages[-1]

        wait_for(named)
        assert "the database does not answer" in pages[-1]
        assert "not-to-be-seen" not in pages[-1]

    @pytest.mark.usefixtures("two")
    def test_a_statement_that_takes_too_long_is_ended_and_the_rest_of_the_page_is_there(
        self, ask, workspace, monkeypatch
    ):
        monkeypatch.setenv("CLASSIFIER_PAGE_TIMEOUT_S", "4")
        with workspace.database.begin() as connection:
            connection.exec_driver_sql("LOCK TABLE labelling_queue IN ACCESS EXCLUSIVE MODE")
            page = ask("/").text
        assert "the database does not answer in time" in page
        assert "m2</a>" in page

    @pytest.mark.usefixtures("workspace")
    def test_tables_that_are_missing_are_named_with_the_command(self, ask, workspace):
        run(workspace.database, "DELETE FROM alembic_version")
        assert "run: classifier db upgrade" in ask("/").text


async def wait_for_reader(cache):
    """Wait for the thread that reads the entry "k"."""
    import asyncio

    while not cache._entries["k"].task.done():
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("airflow")
class TestCache:
    def test_a_stale_value_is_shown_while_one_thread_reads_it_again(self):
        import asyncio

        from classifier_ui.reading_cache import Cache

        reads, free = [], threading.Event()

        def read():
            reads.append(1)
            if len(reads) > 1:
                free.wait(HANG_S)
            return len(reads)

        async def story():
            cache = Cache(timeout_s=HANG_S)
            first = await cache.get("k", read, fresh_s=0)
            during = [await cache.get("k", read, fresh_s=0) for _ in range(5)]
            free.set()
            await wait_for_reader(cache)
            return first, during, await cache.get("k", read, fresh_s=60)

        first, during, after = asyncio.run(story())
        assert (first.value, {reading.value for reading in during}, after.value, len(reads)) == (1, {1}, 2, 2)

    def test_a_value_that_is_long_overdue_is_not_shown_until_a_request_has_waited(self, monkeypatch):
        import asyncio

        from classifier_ui import reading_cache
        from classifier_ui.reading_cache import SLOW, Cache

        values, free = iter(range(9)), threading.Event()

        async def story():
            cache, clock = Cache(timeout_s=HANG_S), time.time
            first = await cache.get("k", lambda: next(values), fresh_s=0)
            monkeypatch.setattr(time, "time", lambda: clock() + reading_cache.MAX_OVERDUE_S)
            second = await cache.get("k", lambda: next(values), fresh_s=0)
            monkeypatch.setattr(time, "time", lambda: clock() + 2 * reading_cache.MAX_OVERDUE_S)
            cache._timeout_s = 0.05
            third = await cache.get("k", lambda: free.wait(HANG_S), fresh_s=0)
            free.set()
            return first, second, third

        first, second, third = asyncio.run(story())
        assert (first.value, second.value, second.error) == (0, 1, None)
        assert (third.value, third.error) == (1, SLOW), "the old value has a note if the database does not answer"

    def test_an_error_leaves_the_last_value_with_the_error(self):
        import asyncio

        from classifier_ui.reading_cache import Cache

        from classifier.exceptions import NoChampionError

        answers = [lambda: 7, lambda: (_ for _ in ()).throw(NoChampionError("gone"))]

        async def story():
            cache = Cache(timeout_s=HANG_S)
            await cache.get("k", answers[0], fresh_s=0)
            await cache.get("k", answers[1], fresh_s=0)
            await wait_for_reader(cache)
            return await cache.get("k", answers[0], fresh_s=60)

        reading = asyncio.run(story())
        assert (reading.value, reading.error) == (7, "gone")

    def test_a_request_during_a_slow_reading_does_not_wait_again(self, monkeypatch):
        import asyncio

        from classifier_ui.reading_cache import SLOW, Cache

        free, waited, wait = threading.Event(), [], asyncio.wait

        async def waits(tasks, *, timeout):
            waited.append(timeout)
            return await wait(tasks, timeout=timeout)

        monkeypatch.setattr(asyncio, "wait", waits)

        async def story():
            cache = Cache(timeout_s=0.1)
            readings = [await cache.get("k", lambda: free.wait(HANG_S), fresh_s=60) for _ in range(2)]
            free.set()
            return readings

        assert {reading.error for reading in asyncio.run(story())} == {SLOW}
        assert waited[0] > 0
        assert waited[1] == 0

    def test_the_cache_has_a_largest_number_of_entries(self):
        import asyncio

        from classifier_ui.reading_cache import MAX_ENTRIES, Cache

        async def story():
            cache = Cache(timeout_s=HANG_S)
            for number in range(2 * MAX_ENTRIES):
                await cache.get(("model", number), lambda: "megabytes", fresh_s=60)
            return len(cache._entries)

        assert asyncio.run(story()) == MAX_ENTRIES <= 32

    def test_a_current_value_is_read_each_time_not_cached_and_has_a_timeout(self):
        import asyncio

        from classifier_ui.reading_cache import SLOW, Cache

        counted, free = iter(range(9)), threading.Event()

        async def story():
            cache = Cache(timeout_s=HANG_S)
            values = [(await cache.read_now(lambda: next(counted))).value for _ in range(3)]
            kept = len(cache._entries)
            slow = await Cache(timeout_s=0.1).read_now(lambda: free.wait(HANG_S))
            free.set()
            return values, kept, slow.error

        assert asyncio.run(story()) == ([0, 1, 2], 0, SLOW)

    def test_an_action_drops_only_the_keys_that_it_changes_if_it_names_them(self):
        import asyncio

        from classifier_ui.reading_cache import Cache

        async def story():
            cache, remaining = Cache(timeout_s=HANG_S), []
            for forget in (("review",), None):
                for key in ("review", "labels"):
                    await cache.get(key, lambda: 1, fresh_s=60)
                await cache.act(lambda: None, forget=forget)
                remaining.append(list(cache._entries))
            return remaining

        assert asyncio.run(story()) == [["labels"], []]


def test_the_plugin_is_light_for_the_processes_that_serve_no_page():
    """Workers and the scheduler import the plugin, too: FastAPI and the use cases wait until they are needed."""
    source = (ROOT / "plugins" / "classifier_plugin.py").read_text(encoding="utf-8")
    top = [line for line in source.splitlines() if re.match(r"(from|import) ", line)]
    assert not any(re.search(r"classifier_ui|fastapi|sqlalchemy|from classifier", line) for line in top)


def test_airflow_loads_only_the_plugin_file_as_a_plugin(airflow):
    from airflow import plugins_manager

    plugins, errors = plugins_manager._get_plugins()
    ours = [plugin.name for plugin in plugins if "classifier" in plugin.name]
    assert ours == ["classifier"]
    assert not errors


def test_the_views_are_in_the_navigation_and_on_each_run(airflow):
    client, tokens = airflow
    listed = client.get("/api/v2/plugins", headers={"Authorization": f"Bearer {tokens['admin']}"}).json()
    (plugin,) = (plugin for plugin in listed["plugins"] if plugin["name"] == "classifier")
    assert {view["destination"]: view["href"] for view in plugin["external_views"]} == {
        "nav": "/classifier/",
        "dag_run": "/classifier/runs/{DAG_ID}/{RUN_ID}",
    }
