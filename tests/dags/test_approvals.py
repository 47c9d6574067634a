"""What an approval shows, and what is stored of a response."""

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
    """Return the plugin's module, which can be imported after Airflow has set its paths."""
    from classifier_airflow import promotion_tasks

    return promotion_tasks


def gate_result(champion="m1"):
    results = (RuleResult("macro-F1", "pass", "macro-F1 0.9412, champion 0.9300: +1.12 points"),)
    return GateResult("m2", champion, GateVerdict("promote", results, Margins()), (2, 1), 2189)


def churn(champion="m1", before="sport"):
    flows = (Flow(before, "tech", 7, (3, 4)),)
    return Churn("m2", champion, 500, 12, 0.024, (0.014, 0.041), flows, 120_000, 50.0, 2400.0)


def test_the_question_shows_the_verdict_the_differences_the_churn_and_the_time(approvals):
    shown = approvals.write_question(gate_result(), churn())
    for part in (
        "**m2** compared with the champion m1, on 2,189 test articles: **promote**.",
        "- pass: macro-F1 0.9412, champion 0.9300: +1.12 points",
        "Of 500 sampled labels 12 would change: 2.4% (1.4% to 4.1%).",
        "- sport → tech: 7",
        "Labelling 120,000 articles again takes about 40 minutes.",
    ):
        assert part in shown


def test_the_question_names_its_task_only_if_there_are_several(approvals):
    assert "Task: **the \\_topic\\_**" in approvals.write_question(gate_result(), churn(), task="the _topic_")
    assert "Task" not in approvals.write_question(gate_result(), churn())


def test_a_rejected_model_is_not_promoted(approvals):
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="nothing was trained"):
        approvals.promote("workspace", None, None, {}, None)
    with pytest.raises(AirflowSkipException, match="rejected"):
        approvals.promote("workspace", "m2", {}, {}, {"approved": False, "responded_by_user": None})


def test_a_categorys_name_is_not_markup(approvals):
    shown = approvals.write_question(gate_result(), churn(before="[x](http://x) <b>*"))
    assert r"\[x\](http://x) \<b\>\*" in shown


def test_a_first_model_has_no_labels_to_change(approvals):
    assert "no champion whose labels would change" in approvals.write_question(gate_result(None), churn(None))


@pytest.mark.parametrize(
    ("response", "user", "reason"),
    [
        ({"responded_by_user": {"id": "7", "name": "ann"}}, "ann, retrain_classifier", "declined by ann"),
        ({"responded_by_user": None}, "no user, retrain_classifier", "no user responded in time"),
        (None, "no user, retrain_classifier", "no user responded in time"),
    ],
)
def test_the_user_who_declines_a_model_is_stored(approvals, monkeypatch, response, user, reason):
    from classifier.pipeline.promotion import decisions

    stored = []
    monkeypatch.setattr(decisions, "decline", lambda *arguments, **options: stored.append((arguments, options)))
    approvals.decline("workspace", "m2", response)
    assert stored == [(("workspace", "m2"), {"reason": reason, "decided_by": user})]
