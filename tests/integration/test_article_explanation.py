"""The process that explains labels for a server answers, is bounded, and leaves nothing behind."""

from __future__ import annotations

import io
import json
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import pytest

from classifier import registry
from classifier.exceptions import (
    ArticleNotFoundError,
    ExplanationError,
    NoChampionError,
    SettingsError,
    StatementTimeoutError,
)
from classifier.model import hardware
from classifier.pipeline.categories import changes
from classifier.pipeline.labelling import classification, explanation
from classifier.pipeline.review import article_details, article_explanation, explanation_process, nearest_articles
from classifier.pipeline.review.article_explanation import ArticleRequest, Explainer
from classifier.pipeline.review.explanation_process import ExplanationProcess
from classifier.store import model_rows
from tests.support.synthetic import add_articles, annotate, dump, run
from tests.support.tiny_models import make_lexicon_artefact
from tests.support.waiting import HANG_S, wait_for

LEXICON = {"business": ("bank", "shares"), "sport": ("goal", "match"), "tech": ("chip", "phone")}


@pytest.fixture
def champion(workspace):
    """Return a function that makes another model champion."""

    def make(name, **options):
        files = make_lexicon_artefact(workspace.models / name, LEXICON, **options)
        with workspace.database.begin() as connection:
            model = registry.register(connection, name, files, {})
            model_rows.make_champion(connection, model.id)
        return name

    return make


@pytest.fixture
def ids(workspace):
    with workspace.database.begin() as connection:
        rows = [("a1", "the bank of the team", "train"), ("a2", "the goal of the team", "train")]
        added = add_articles(connection, rows)
        annotate(connection, added[1], "sport")
    run(workspace.database, "UPDATE articles SET title = 'A goal, a match' WHERE external_id = 'a1'")
    return added


@pytest.fixture
def process(workspace, monkeypatch):
    monkeypatch.setenv("CLASSIFIER_HOME", str(workspace.settings.home))
    monkeypatch.setenv("CLASSIFIER_PAGE_TIMEOUT_S", "300")
    url = workspace.database.url.render_as_string(hide_password=False)
    started = ExplanationProcess(lambda: url, timeout_s=HANG_S)
    yield started
    started.close()


def top(answer, *, number=0):
    category = answer["categories"][number]
    word = max(category["words"], key=lambda word: word["contribution"])
    return answer["text"][word["start"] : word["end"]].lower()


def raising(error):
    """Return a function that raises the error."""

    def fail(*_, **__):
        raise error

    return fail


def test_a_renamed_and_a_merged_category_is_explained_by_its_name_of_today(workspace, champion, ids):
    champion("m1", read_title=True)
    explainer = Explainer()
    assert explainer.explain(workspace, ArticleRequest(None, ids[0], 1))["categories"][0]["category"] == "sport"
    changes.change_categories(workspace, "rename", ["sport"], ["games"], changed_by="ann")
    answer = explainer.explain(workspace, ArticleRequest(None, ids[0], 1))
    assert (answer["result"]["label"], answer["categories"][0]["category"]) == ("games", "games")
    assert [near["categories"] for near in answer["nearest"]["articles"]] == [("games",)]
    changes.change_categories(workspace, "merge", ["games", "tech"], ["leisure"], changed_by="ann")
    merged = explainer.explain(workspace, ArticleRequest(None, ids[0], 1))
    assert (merged["result"]["label"], merged["categories"][0]["category"]) == ("leisure", "leisure")
    assert top(merged) == top(answer)
    (leisure,) = merged["categories"]
    assert leisure["probability"] == merged["result"]["confidence"] > answer["categories"][0]["probability"]
    others = 1 - merged["result"]["confidence"]
    assert leisure["log_odds"] == pytest.approx(np.log(leisure["probability"] / others), rel=1e-4)


def test_a_threshold_that_is_tuned_again_holds_without_loading_the_model_again(workspace, champion, ids, monkeypatch):
    champion("m1")
    explainer = Explainer()
    assert not explainer.explain(workspace, ArticleRequest(None, ids[0], 1))["result"]["abstained"]
    run(workspace.database, "UPDATE models SET threshold = 1")
    monkeypatch.setattr(classification, "open_model", raising(AssertionError))
    assert explainer.explain(workspace, ArticleRequest(None, ids[0], 1))["result"]["abstained"]


def test_the_process_explains_articles_with_the_present_champion_and_stores_nothing(workspace, champion, ids, process):
    champion("m1", read_title=True)
    before = dump(workspace.database)
    answer = process.ask(ArticleRequest(None, ids[0], 1))
    assert (answer["model"], answer["result"]["label"]) == ("m1", "sport")
    assert top(answer) in {"goal", "match"}
    assert answer["text"][answer["offset"] :] == "the bank of the team"
    assert [near["external_id"] for near in answer["nearest"]["articles"]] == ["a2"]
    assert answer["runs"] <= article_explanation.PAGE_RUNS
    assert dump(workspace.database) == before

    champion("m2", read_title=False)
    answer = process.ask(ArticleRequest(None, ids[0], 1, "business"))
    assert (answer["model"], answer["offset"], top(answer)) == ("m2", 0, "bank")


def test_its_errors_are_one_line_and_the_process_continues(champion, ids, process):
    with pytest.raises(ExplanationError, match="no model has been promoted yet"):
        process.ask(ArticleRequest(None, ids[0], 1))
    champion("m1")
    for request, message in (
        (ArticleRequest(None, 999, 1), "article 999: not found"),
        (ArticleRequest(None, ids[0], 7), f"the text of article {ids[0]} has changed; reload the page"),
        (ArticleRequest(None, ids[0], 1, "art"), "unknown; choose from business, sport, tech"),
    ):
        with pytest.raises(ExplanationError, match=message):
            process.ask(request)
    first = process._process.pid
    assert process.ask(ArticleRequest(None, ids[0], 1))["model"] == "m1"
    assert process._process.pid == first


def test_a_process_that_was_killed_is_started_again(champion, ids, process):
    champion("m1")
    assert process.ask(ArticleRequest(None, ids[0], 1))
    process._process.kill()
    process._process.wait()
    assert process.ask(ArticleRequest(None, ids[0], 1))["model"] == "m1"


def test_an_answer_that_takes_too_long_stops_the_process(champion, ids, process):
    champion("m1")
    process._timeout_s = 0.0
    with pytest.raises(ExplanationError, match="took longer than 0 s and was stopped"):
        process.ask(ArticleRequest(None, ids[0], 1))
    assert process._process is None


def test_after_any_error_the_next_request_does_not_get_the_former_ones_answer(champion, ids, process, monkeypatch):
    champion("m1")
    with monkeypatch.context() as patched:
        patched.setattr(explanation_process, "_read_line", raising(ValueError("filedescriptor out of range")))
        with pytest.raises(ValueError, match="out of range"):
            process.ask(ArticleRequest(None, ids[0], 1))
    assert process.ask(ArticleRequest(None, ids[1], 1))["text"] == "the goal of the team"
    with monkeypatch.context() as patched:
        patched.setattr(explanation_process, "_read_line", lambda *_: b'{"id": 1, "text": "of another request"}\n')
        with pytest.raises(ExplanationError, match="ended; try again"):
            process.ask(ArticleRequest(None, ids[0], 1))
    assert process._process is None


def test_without_a_url_of_the_database_no_process_is_started():
    child = ExplanationProcess(raising(SettingsError("no connection articles")))
    with pytest.raises(SettingsError, match="no connection articles"):
        child.ask(ArticleRequest(None, 1, 1))
    assert child._process is None


def test_a_pipe_whose_descriptor_is_large_is_read():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    large = 1500
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, large + 1), hard))
    readable, writable = os.pipe()
    try:
        os.dup2(readable, large)
        os.write(writable, b"{}\n")
        assert explanation_process._read_line(large, time.monotonic() + HANG_S) == b"{}\n"
    finally:
        for descriptor in (readable, writable, large):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_request_whose_turn_does_not_come_in_time_is_refused_and_the_other_one_not_stopped():
    child = ExplanationProcess(lambda: None, timeout_s=0.01)
    with child._lock, pytest.raises(ExplanationError, match="other labels are being explained"):
        child.ask(ArticleRequest(None, 1, 1))
    assert child._places._value == explanation_process.MAX_REQUESTS


def test_an_error_that_quotes_the_text_is_neither_logged_nor_answered(workspace, champion, ids, monkeypatch, caplog):
    champion("m1")
    monkeypatch.setattr(explanation_process, "_open", lambda *_: workspace)

    def quote(_, text, *__, **___):
        raise ValueError(text)

    monkeypatch.setattr(explanation, "explain_text", quote)
    request = {"id": 7, "request": asdict(ArticleRequest(None, ids[0], 1))}
    readable, writable = os.pipe()
    with os.fdopen(writable, "wb") as requests:
        requests.write(b'{"database_url": null}\n' + json.dumps(request).encode() + b"\n")
    answers = io.BytesIO()
    with os.fdopen(readable, "rb", buffering=0) as opened:
        explanation_process.serve(opened, answers)
    answer = json.loads(answers.getvalue())
    assert answer == {"id": 7, "error": "the label cannot be explained (ValueError)"}
    assert "cannot explain a label: ValueError" in caplog.text
    assert "the bank of the team" not in caplog.text + repr([vars(record) for record in caplog.records])


def test_more_requests_than_may_wait_are_refused_and_the_others_answered(champion, ids, process):
    champion("m1")
    requests = explanation_process.MAX_REQUESTS + 3

    def ask(_):
        try:
            return process.ask(ArticleRequest(None, ids[0], 1))["model"]
        except ExplanationError as error:
            return str(error)

    with ThreadPoolExecutor(requests) as pool:
        answers = list(pool.map(ask, range(requests)))
    assert answers.count("m1") >= explanation_process.MAX_REQUESTS
    assert set(answers) <= {"m1", "other labels are being explained; try again in a minute"}


def test_the_process_ends_with_its_server_and_after_a_time_without_requests(workspace, tmp_path):
    readable, writable = os.pipe()
    with os.fdopen(writable, "wb") as requests, os.fdopen(readable, "rb", buffering=0) as opened:
        requests.write(b'{"database_url": null}\n')
        requests.flush()
        with (tmp_path / "answers").open("wb") as answers:
            explanation_process.serve(opened, answers, idle_s=0.01)  # returns
    child = ExplanationProcess(lambda: None)
    started = child._running()
    started.stdin.close()
    wait_for(lambda: started.poll() is not None)
    assert started.returncode == 0
    started.stdout.close()


def test_a_model_that_would_not_fit_into_memory_is_not_loaded(workspace, champion, ids, monkeypatch):
    champion("m1")
    monkeypatch.setattr(hardware, "available_memory", lambda: 200 * 2**20)
    with pytest.raises(ExplanationError, match=r"takes about 300 MiB, and 200 MiB are available; give the API server"):
        Explainer().explain(workspace, ArticleRequest(None, ids[0], 1))


def test_the_details_are_of_every_task_with_annotations_that_no_longer_count(workspace, champion, ids):
    champion("m1")
    run(workspace.database, "UPDATE annotations SET retracted_at = now(), retracted_by = 'ann'")
    with workspace.database.begin() as connection:
        annotate(connection, ids[1], "tech", annotator="bob")
    details = article_details.read_article(workspace, ids[1], "eve")
    assert [(each.annotator, each.categories, each.in_force) for each in details.annotations] == [
        ("bob", ("tech",), True),
        ("ann", ("sport",), False),
    ]
    (label,) = details.labels
    assert (label.labels, label.origin, label.confidences) == (("tech",), "annotation", ())
    assert details.has_champion
    with pytest.raises(ArticleNotFoundError):
        article_details.read_article(workspace, 999, "eve")


def test_without_a_champion_nothing_is_explained(workspace, ids):
    assert not article_details.read_article(workspace, ids[0], "eve").has_champion
    with pytest.raises(NoChampionError):
        Explainer().explain(workspace, ArticleRequest(None, ids[0], 1))


def test_a_database_that_is_too_slow_to_find_similar_articles_costs_no_explanation(
    workspace, champion, ids, monkeypatch
):
    champion("m1")
    monkeypatch.setattr(nearest_articles, "find_nearest", raising(StatementTimeoutError()))
    answer = Explainer().explain(workspace, ArticleRequest(None, ids[0], 1))
    assert answer["categories"][0]["words"]
    assert answer["nearest"] is None


def test_available_memory_is_what_the_container_leaves(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n", encoding="ascii")
    assert hardware.available_memory(tmp_path / "meminfo", tmp_path) == 8000 * 1024
    values = {"memory.max": "5000000", "memory.current": "3000000", "memory.stat": "anon 1\ninactive_file 500000\n"}
    for name, content in values.items():
        (tmp_path / name).write_text(content, encoding="ascii")
    assert hardware.available_memory(tmp_path / "meminfo", tmp_path) == 2_500_000
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    assert hardware.available_memory(tmp_path / "meminfo", tmp_path) == 8000 * 1024
    assert hardware.available_memory(tmp_path / "none", tmp_path / "none") is None
