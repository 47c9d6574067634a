"""What an approval shows, and what is kept of an answer."""

from __future__ import annotations

import pytest

from classifier.evaluation.gate import GateVerdict
from classifier.evaluation.gate_rules import RuleResult
from classifier.evaluation.margins import Margins
from classifier.pipeline.promotion.gate_result import GateResult
from classifier.pipeline.promotion.label_churn import Churn, Flow

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def approvals(dagbag):
    """The plugin's module, which is found once Airflow has set its paths."""
    from classifier_airflow import promotion_tasks

    return promotion_tasks


def judged(champion="m1"):
    findings = (RuleResult("macro-F1", "pass", "macro-F1 0.9412 against the champion's 0.9300: +1.12 points"),)
    return GateResult("m2", champion, GateVerdict("promote", findings, Margins()), (2, 1), 2189)


def churn(champion="m1", before="sport"):
    flows = (Flow(before, "tech", 7, (3, 4)),)
    return Churn("m2", champion, 500, 12, 0.024, (0.014, 0.041), flows, 120_000, 50.0, 2400.0)


def test_the_question_shows_the_verdict_the_differences_the_churn_and_the_time(approvals):
    shown = approvals.question(judged(), churn())
    for part in (
        "**m2** beside the champion m1, on 2,189 test articles: **promote**.",
        "- pass: macro-F1 0.9412 against the champion's 0.9300: +1.12 points",
        "Of 500 sampled labels 12 would change: 2.4% (1.4% to 4.1%).",
        "- sport → tech: 7",
        "Labelling 120,000 articles anew takes about 40 minutes.",
    ):
        assert part in shown


def test_a_categorys_name_is_no_markup(approvals):
    shown = approvals.question(judged(), churn(before="[x](http://x) <b>*"))
    assert r"\[x\](http://x) \<b\>\*" in shown


def test_a_first_model_has_no_labels_to_change(approvals):
    assert "no champion whose labels would change" in approvals.question(judged(None), churn(None))


@pytest.mark.parametrize(
    ("answer", "by", "reason"),
    [
        ({"responded_by_user": {"id": "7", "name": "ann"}}, "ann, retrain_classifier", "declined by ann"),
        ({"responded_by_user": None}, "no user, retrain_classifier", "no user responded in time"),
        (None, "no user, retrain_classifier", "no user responded in time"),
    ],
)
def test_whoever_turns_a_model_down_is_kept(approvals, monkeypatch, answer, by, reason):
    from classifier.pipeline.promotion import decisions

    kept = []
    monkeypatch.setattr(decisions, "decline", lambda *arguments, **options: kept.append((arguments, options)))
    approvals.decline("place", "m2", answer)
    assert kept == [(("place", "m2"), {"reason": reason, "decided_by": by})]
