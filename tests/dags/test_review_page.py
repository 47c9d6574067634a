"""The review and the drift checks on the classifier's pages, as users use them without JavaScript."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import get_args

import pytest

from classifier.evaluation.drift_checks import DriftCheck
from classifier.pipeline.monitoring.drift_history import DriftRun
from classifier.pipeline.review import conflicts, review_queue, sheets
from classifier.review.selection import Reason
from classifier.store import model_rows
from tests.support.evaluated_models import add_evaluated, add_test_articles
from tests.support.predictions import label
from tests.support.synthetic import add_articles, annotate, query, run

pytestmark = pytest.mark.filterwarnings("default")

EVIL = '"><script>alert(1)</script>&'


@pytest.fixture
def asked(workspace):
    """Ten labelled articles with a hostile text: all wait for review, the first two also for the audit."""
    with workspace.database.begin() as connection:
        ids = add_articles(connection, [(f"{n}{EVIL}", f"text {n} {EVIL} here", "train") for n in range(10)])
        label(connection, ids)
    run(workspace.database, "UPDATE articles SET title = :title, url = 'javascript:' || external_id", title=f"T {EVIL}")
    review_queue.fill_queue(workspace, number=10, audit=0)
    run(
        workspace.database,
        "INSERT INTO review_queue (article_id, model_id, revision, reason, predicted_categories, confidence) "
        "SELECT article_id, model_id, revision, 'audit', predicted_categories, confidence FROM review_queue "
        "WHERE article_id = ANY(:ids)",
        ids=ids[:2],
    )
    return ids


def form(page, button):
    """Return what a browser would send if the button of that category is pressed."""
    address = re.search(r'<form method="post" action="/classifier([^"]+)"', page)[1]
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    assert f'<button name="category" value="{button}"' in page
    return address, {**fields, "category": button, "comment": ""}


def annotations(workspace):
    return query(
        workspace.database, "SELECT article_id, categories[1], annotator, is_resolution FROM annotations ORDER BY id"
    )


class TestAgreement:
    def test_an_article_waits_for_another_user_and_never_for_the_same(self, ask, asked, monkeypatch):
        monkeypatch.setenv("CLASSIFIER_REVIEW_OVERLAP", "1")
        address, fields = form(ask("/review/next?after=0", "user").text, "b")
        assert ask(address, "user", method="POST", data=fields).status_code == 303
        assert "1 more wait for a further annotator" in ask("/review").text
        last = f"/review/next?after={asked[-1]}"
        assert f'name="article" value="{asked[1]}"' in ask(last, "user").text, "not the same article again"
        page = ask(last, "admin").text
        assert f'name="article" value="{asked[0]}"' in page
        assert "annotated it as" not in page, "the other answer is hidden"

    def test_the_page_shows_pairs_categories_and_annotators(self, ask, workspace):
        with workspace.database.begin() as connection:
            ids = add_articles(connection, [(f"{n}", f"text {n} here", "train") for n in range(30)])
            for number, article_id in enumerate(ids):
                annotate(connection, article_id, f"{number % 2}{EVIL}", f"ann{EVIL}")
                annotate(connection, article_id, f"{number % 2 if number > 5 else 0}{EVIL}", "bob")
        page = ask("/review").text
        assert re.search(r"Krippendorff&#39;s alpha|Krippendorff's alpha", page)
        assert "0.80" in page
        assert "<script>alert" not in page
        assert unescape(page).count(f"ann{EVIL}") >= 2, "in its pair, and alone"

    def test_without_second_opinions_the_page_says_what_to_do(self, ask, asked):
        assert "CLASSIFIER_REVIEW_OVERLAP" in ask("/review").text
        assert asked


class TestReview:
    @pytest.mark.usefixtures("asked")
    def test_the_page_counts_the_waiting_articles_and_links_to_them(self, ask):
        page = ask("/review").text
        assert re.search(r"Waiting for review</dt><dd>10\s", page)
        assert "2 audit" in page
        assert 'href="/classifier/review/next"' in page
        assert "none reviewed yet" in page

    def test_one_article_after_the_other_is_annotated_in_the_users_name(self, ask, asked, workspace):
        answer = ask("/review/next?after=0", "user")
        for article in asked[:3]:
            address, fields = form(answer.text, "b")
            assert fields["article"] == str(article)
            answer = ask(address, "user", method="POST", data=fields)
            assert answer.status_code == 303
            answer = ask(answer.headers["location"].removeprefix("/classifier"), "user")
        assert annotations(workspace) == [(article, "b", "ada the user", False) for article in asked[:3]]
        assert "7 waiting" in answer.text
        assert f'href="/classifier/review/articles/{asked[2]}"' in answer.text, "back to the last annotated article"
        assert "You annotated it as <strong>b</strong>" in ask(f"/review/articles/{asked[2]}", "user").text
        assert re.search(r"Waiting for review</dt><dd>7\s", ask("/review").text), "nothing older is shown"

    def test_the_suggestion_is_shown_except_for_articles_drawn_at_random(self, ask, asked):
        for article_id in asked:
            page = ask(f"/review/next?after={article_id - 1}", "user").text
            assert f'name="article" value="{article_id}"' in page
            assert ("The model suggests" in page) == (article_id not in asked[:2])
            assert ("drawn at random" in page) == (article_id in asked[:2])

    @pytest.mark.usefixtures("airflow")
    def test_every_reason_is_explained(self):
        from classifier_ui import annotation

        shown = {*get_args(Reason), sheets.CHECK} - {"control"}
        assert shown <= annotation.REASONS.keys()

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_an_annotation_is_checked_without_showing_it_a_prediction_or_which_ones_are_doubtful(
        self, ask, asked, workspace, split
    ):
        run(workspace.database, "UPDATE articles SET split = :split", split=split)
        run(workspace.database, "UPDATE review_queue SET reason = 'doubtful' WHERE reason <> 'audit'")
        run(workspace.database, "DELETE FROM review_queue WHERE reason = 'audit'")
        if split == "test":
            run(workspace.database, "UPDATE review_queue SET reason = 'control' WHERE article_id % 2 = 0")
        with workspace.database.begin() as connection:
            for article_id in asked:
                annotate(connection, article_id, "a", "source:s")
        pages = [ask(f"/review/next?after={article_id - 1}", "user").text for article_id in asked]
        why = {unescape(re.search(r"Why this article: ([^.]+)\.", page)[1]) for page in pages}
        assert len(why) == 1
        assert ("probably wrong" in why.pop()) == (split == "train")
        assert not any(word in page for page in pages for word in ("The model suggests", "suggested", "source:s"))
        address, fields = form(pages[0], "b")
        assert ask(address, "user", method="POST", data=fields).status_code == 303
        assert annotations(workspace)[-1] == (asked[0], "b", "ada the user", False)
        assert re.search(r"Waiting for review</dt><dd>9\s", ask("/review").text)

    @pytest.mark.usefixtures("asked")
    def test_a_text_and_an_id_cannot_break_out(self, ask):
        page = ask("/review/next", "user").text
        assert unescape(page).count(EVIL) >= 4, "the id, the title, the address and the text"
        assert "<script>" not in page
        assert 'href="javascript' not in page

    def test_a_web_address_is_a_link_that_tells_the_site_nothing(self, ask, asked, workspace):
        run(workspace.database, "UPDATE articles SET url = 'https://example.org/?a=1&b=\"2'")
        link = '<a href="https://example.org/?a=1&amp;b=&#34;2" rel="noopener noreferrer" target="_blank">'
        assert link in ask(f"/review/articles/{asked[0]}", "user").text

    def test_an_annotation_of_a_text_that_changed_is_refused_and_the_new_text_shown(self, ask, asked, workspace):
        address, fields = form(ask("/review/next?after=0", "user").text, "b")
        run(workspace.database, "UPDATE articles SET revision = 2, text = 'corrected' WHERE id = :id", id=asked[0])
        answer = ask(address, "user", method="POST", data=fields)
        assert answer.status_code == 409
        assert f"The annotation was not saved: the text of article {asked[0]} has changed since." in answer.text
        assert "corrected" in answer.text
        assert 'name="revision" value="2"' in answer.text
        assert annotations(workspace) == []

    def test_a_rewritten_article_is_queued_again_and_shows_the_users_earlier_annotation(self, ask, asked, workspace):
        address, fields = form(ask("/review/next?after=0", "user").text, "b")
        assert ask(address, "user", method="POST", data=fields).status_code == 303
        rewritten = "UPDATE articles SET revision = 2, content_revision = 2, text = 'new' WHERE id = :id"
        run(workspace.database, rewritten, id=asked[0])
        run(workspace.database, "UPDATE predictions SET revision = 2 WHERE article_id = :id", id=asked[0])
        assert review_queue.fill_queue(workspace, number=20, audit=0).added == {"rewritten": 1}
        page = ask("/review/next?after=0", "user").text
        assert "its text has changed since it was annotated" in page
        assert "You annotated an earlier version of the text as <strong>b</strong>" in page
        assert "an earlier version" not in ask("/review/next?after=0", "admin").text

    @pytest.mark.usefixtures("asked")
    @pytest.mark.parametrize("field", [{"category": "c"}, {"comment": "x\0"}, {"article": "999999"}])
    def test_an_invalid_annotation_is_refused_with_a_message(self, ask, workspace, field):
        address, fields = form(ask("/review/next?after=0", "user").text, "b")
        answer = ask(address, "user", method="POST", data={**fields, **field})
        assert answer.status_code == 409
        assert "The annotation was not saved" in answer.text
        assert annotations(workspace) == []

    @pytest.mark.usefixtures("asked")
    @pytest.mark.parametrize("typed", ["e\u0301", "\u200b\u00e9\u200b", " \u00e9\u00a0"])
    @pytest.mark.parametrize("of_the_model", ["\u00e9", "e\u0301"])
    def test_a_category_may_be_typed_in_any_form_of_its_name(self, ask, workspace, typed, of_the_model):
        run(workspace.database, "UPDATE models SET categories = ARRAY['a', :name]", name=of_the_model)
        address, fields = form(ask("/review/next?after=0", "user").text, "a")
        answer = ask(address, "user", method="POST", data={**fields, "category": "", "typed": typed})
        assert answer.status_code == 303
        assert [row[1] for row in annotations(workspace)] == ["\u00e9"]

    @pytest.mark.usefixtures("asked")
    def test_a_viewer_can_read_but_has_no_buttons(self, ask):
        page = ask("/review/next", "viewer").text
        assert "<form" not in page
        assert "but not annotate them" in page

    @pytest.mark.usefixtures("airflow")
    def test_every_category_has_its_own_key_different_from_the_commands(self):
        from classifier_ui.annotation import BACK, COMMENT, KEYS, SKIP

        assert KEYS.startswith("1234567890")
        assert len({*KEYS, SKIP, BACK, COMMENT}) == len(KEYS) + 3

    def test_a_conflict_is_listed_read_and_resolved(self, ask, asked, workspace):
        for name, category in (("user", "a"), ("admin", "b")):
            page = ask(f"/review/articles/{asked[0]}", name).text
            address, fields = form(page, category)
            assert ask(address, name, method="POST", data=fields).status_code == 303
        listed = ask("/review", "user").text
        assert re.search(r"<strong>a</strong>.*ada the user", listed)
        assert f'href="/classifier/review/articles/{asked[0]}"' in listed
        address, fields = form(ask(f"/review/articles/{asked[0]}", "user").text, "b")
        assert address == "/review/decide"
        answer = ask(address, "user", method="POST", data=fields)
        assert answer.headers["location"] == "/classifier/review?done=decided"
        assert conflicts.list_conflicts(workspace) == []
        assert annotations(workspace)[-1] == (asked[0], "b", "ada the user", True)
        assert "The conflict is resolved" in ask("/review?done=decided", "user").text

    @pytest.mark.usefixtures("workspace")
    def test_without_a_champion_it_says_what_to_do(self, ask):
        assert "There is no champion yet, so there are no labels to review" in ask("/review").text
        assert "no model has been promoted yet" in ask("/review/next").text

    @pytest.mark.usefixtures("asked")
    def test_an_empty_queue_says_what_comes_next(self, ask, workspace):
        everything = (
            "INSERT INTO annotations (article_id, task_id, revision, categories, annotator) "
            "SELECT id, (SELECT id FROM tasks), revision, ARRAY['a'], 'ann' FROM articles"
        )
        run(workspace.database, everything)
        assert "No article is waiting" in ask("/review/next", "user").text
        assert "start it to queue" in ask("/review", "user").text
        assert re.search(r"of 2 labels drawn at random", ask("/review").text)


class TestDrift:
    INSERT = (
        "INSERT INTO drift_runs (model_id, ran_at, articles, audited, estimated_accuracy, category_drift, "
        "length_drift, abstained, checks, alarms) "
        "SELECT max(id), now() - make_interval(days => :ago), 300, 0, 0.9, 0.1, :length, 0.25, "
        "CAST(:findings AS jsonb), ARRAY['length'] FROM models"
    )
    FINDINGS = json.dumps([
        asdict(DriftCheck("length", "alarm", "distance <b>0.4</b>", "fix the source")),
        asdict(DriftCheck("audit", "not judged", "0 of 30")),
    ])

    @pytest.fixture
    def checked(self, workspace):
        add_test_articles(workspace, 30)
        model = add_evaluated(workspace, "m1", wrong=range(3), confidence=0.9)
        with workspace.database.begin() as connection:
            model_rows.make_champion(connection, model.id)
        for ago, length in ((40, 0.1), (2, 0.3), (1, 0.4)):
            run(workspace.database, self.INSERT, ago=ago, length=length, findings=self.FINDINGS)

    @pytest.mark.usefixtures("checked")
    def test_the_page_shows_figures_over_time_and_alarms_with_advice(self, ask):
        page = ask("/drift").text
        assert re.search(r"Estimated accuracy</dt><dd>0.9000", page)
        assert re.search(r"Abstained</dt><dd>25.0 %", page)
        assert "distance &lt;b&gt;0.4&lt;/b&gt;" in page
        assert "<strong>What to do:</strong> fix the source." in page
        assert page.count("What to do") == 1, "a check without an alarm has no advice"
        assert page.count("<svg") == 2
        assert re.search(r'<polyline[^>]*class="line second"[^>]*><title>length</title>', page)

    @pytest.mark.usefixtures("workspace")
    def test_without_a_champion_it_says_what_to_do(self, ask):
        assert "There is no champion yet to check" in ask("/drift").text

    @pytest.mark.usefixtures("asked")
    def test_without_a_check_the_page_names_the_dag(self, ask):
        page = ask("/drift").text
        assert "<code>watch_classifier</code>" in page
        assert "<svg" not in page

    @pytest.mark.usefixtures("airflow")
    def test_the_axis_ends_on_the_day_of_the_last_check_even_without_figures(self):
        from classifier_ui import charts

        nothing = [None] * 7
        now = datetime(2026, 5, 20, tzinfo=UTC)
        checks = [DriftRun("m", now - timedelta(days=days), None, 9, 0, *nothing) for days in (8, 0)]
        drawn = str(charts.drift(checks, 0.2))
        assert ">20 May<" in drawn
        assert "<polyline" not in drawn
