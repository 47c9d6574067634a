"""What the tasks of `retrain_classifier` do about a promotion: judge, put the question, decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

if TYPE_CHECKING:
    from classifier.evaluation.margins import Margins
    from classifier.pipeline.promotion.gate_result import GateResult
    from classifier.pipeline.promotion.label_churn import Churn
    from classifier.workspace import Workspace


ANSWER = "answer"
"""XCom key of who answered an approval."""


class Approval(ApprovalOperator):
    """An approval that leaves word of who answered also where that was a no: Airflow then drops the result."""

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Take the answer."""
        if "error" not in event:
            user = event.get("responded_by_user")
            context["ti"].xcom_push(key=ANSWER, value={"responded_by_user": dict(user) if user else None})
        return super().execute_complete(context, event)


def judge(place: Workspace, model: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model, the gate's verdict and on what, the churn, and the question for the approver, in Markdown.

    Verdict and churn are beside the same champion: if it changes between the two, both are computed again.
    """
    from classifier.pipeline.promotion import gate_result, label_churn

    while True:
        judged = gate_result.apply_gate(place, model, margins=margins(place, params))
        churn = label_churn.measure_churn(place, model, size=params["churn_sample"])
        if churn.champion in {judged.champion, model}:
            break
    return {
        "model": model,
        "champion": judged.champion,
        "evaluation_ids": list(judged.evaluation_ids),
        "verdict": judged.gate.verdict,
        "reasons": list(judged.gate.reasons),
        "churn": churn.as_json(),
        "question": question(judged, churn),
    }


def promote(
    place: Workspace,
    model: str,
    judged: Mapping[str, Any],
    params: Mapping[str, Any],
    answer: Mapping[str, Any] | None,
    *,
    asked_by: str | None = None,
) -> bool:
    """Decide; return whether the model is champion now.

    The churn is kept beside the findings, with who approved, and who asked for a named candidate and why. If an
    approval is required, the decision is on what `judged` says, also where there was nothing to approve.

    Raises:
        OutdatedQuestionError: an approval is required, and the champion, an evaluation or the verdict has changed.
    """
    from classifier.pipeline.promotion import decisions

    question = None
    if params["require_approval"]:
        question = decisions.PromotionQuestion(tuple(judged["evaluation_ids"]), judged["champion"], judged["verdict"])
    asked = {"asked": {"by": asked_by, "reason": params["reason"]}} if params["candidate"] else {}
    decision = decisions.promote_if_better(
        place,
        model,
        margins=margins(place, params),
        decided_by=f"{_who(answer)}, retrain_classifier" if answer else "retrain_classifier",
        more={"churn": judged["churn"], **asked},
        question=question,
    )
    return decision.promoted or decision.previous == model


def decline(place: Workspace, model: str | None, answer: Mapping[str, Any] | None) -> None:
    """Keep who turned the model down; skip where nothing was trained, so that there was nothing to decide."""
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.pipeline.promotion import decisions

    if model is None:
        raise AirflowSkipException("nothing was trained, so there was nothing to decide")
    who = _who(answer)
    reason = "nobody answered in time" if who == NOBODY else f"turned down by {who}"
    decisions.decline(place, model, reason=reason, decided_by=f"{who}, retrain_classifier")


def margins(place: Workspace, params: Mapping[str, Any]) -> Margins:
    """Return the settings' margins with the run's changes."""
    from classifier.evaluation.margins import Margins

    return Margins().with_changes(place.settings.gate).with_changes(params["gate"])


def question(judged: GateResult, churn: Churn) -> str:
    """Return the verdict, the findings, and what would change, in Markdown; names cannot break out of it."""
    beside = f"beside the champion {judged.champion}" if judged.champion else "as a first model"
    headline = f"**{_plain(judged.model)}** {_plain(beside)}, on {judged.test_articles:,} test articles"
    minutes = churn.backfill_seconds / 60
    lines = [
        f"{headline}: **{judged.gate.verdict}**.",
        "",
        *(f"- {one.outcome}: {_plain(one.reason)}" for one in judged.gate.rule_results),
        "",
        _changes(churn),
        *(f"- {_plain(one.before)} → {_plain(one.after)}: {one.articles:,}" for one in churn.flows[:10]),
        "",
        f"Labelling {churn.backlog:,} articles anew takes about {minutes:,.0f} minutes. No answer keeps the champion.",
    ]
    return "\n".join(lines)


def _changes(churn: Churn) -> str:
    if churn.champion is None:
        return "There is no champion whose labels would change."
    low, high = churn.share_interval
    share = f"{churn.share:.1%} ({low:.1%} to {high:.1%})"
    return f"Of {churn.sample:,} sampled labels {churn.changed:,} would change: {share}."


NOBODY = "nobody"


def _who(answer: Mapping[str, Any] | None) -> str:
    user = (answer or {}).get("responded_by_user") or {}
    return str(user.get("name") or user.get("id") or NOBODY)


def _plain(text: str) -> str:
    """Escape what Markdown would read as more than text."""
    return "".join(f"\\{one}" if one in "\\`*_[]<>|#" else one for one in text)
