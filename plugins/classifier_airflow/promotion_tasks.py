"""The work of the promotion tasks of `retrain_classifier`: apply the gate, ask the approver, decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

if TYPE_CHECKING:
    from classifier.evaluation.margins import Margins
    from classifier.pipeline.promotion.gate_result import GateResult
    from classifier.pipeline.promotion.label_churn import Churn
    from classifier.workspace import Workspace
    from classifier_airflow.tasks_of_run import ChosenTask


RESPONSE = "response"
"""XCom key of the response to an approval and of the user who gave it."""


class Approval(ApprovalOperator):
    """An approval that is skipped if no approval is needed, and that stores the response and the user who gave it.

    Airflow cannot skip single tasks of a mapped group, neither by a branch nor by a rejection. So this one skips
    itself, and `promote` reads the response.
    """

    def execute(self, context: Any) -> None:
        """Ask, if the run requires an approval and the gate passed the candidate."""
        from airflow.sdk.exceptions import AirflowSkipException

        ti = context["ti"]
        verdict = ti.xcom_pull(task_ids="apply_gate", map_indexes=ti.map_index)["verdict"]
        if not context["params"]["require_approval"] or verdict != "promote":
            raise AirflowSkipException("no approval is needed")
        super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Store the response."""
        if "error" not in event:
            user = event.get("responded_by_user")
            response = {
                "approved": self.APPROVE in event["chosen_options"],
                "responded_by_user": dict(user) if user else None,
            }
            context["ti"].xcom_push(key=RESPONSE, value=response)
        return super().execute_complete(context, event)


def apply_gate(
    workspace: Workspace, model: str, params: Mapping[str, Any], *, chosen: ChosenTask | None = None
) -> dict[str, Any]:
    """Return the model, the gate's verdict, the label churn, and the question for the approver in Markdown.

    The question names the chosen task if there are several tasks.

    Verdict and churn are computed against the same champion: if it changes between the two, both are computed again.
    """
    from classifier.pipeline.promotion import gate_result, label_churn

    while True:
        result = gate_result.apply_gate(workspace, model, margins=margins_of(workspace, params))
        churn = label_churn.measure_churn(workspace, model, size=params["churn_sample"])
        if churn.champion in {result.champion, model}:
            break
    task = chosen["name"] if chosen and chosen["several"] else ""
    return {
        "model": model,
        "champion": result.champion,
        "evaluation_ids": list(result.evaluation_ids),
        "verdict": result.gate.verdict,
        "reasons": list(result.gate.reasons),
        "warnings": list(result.gate.warnings),
        "churn": churn.as_json(),
        "subject": f"Promote {model} for the task {task}?" if task else f"Promote {model}?",
        "question": write_question(result, churn, task=task),
    }


def promote(
    workspace: Workspace,
    model: str | None,
    result: Mapping[str, Any] | None,
    params: Mapping[str, Any],
    response: Mapping[str, Any] | None,
    *,
    asked_by: str | None = None,
) -> bool:
    """Decide on a model by the gate's result, and return whether the model is champion now.

    If nothing was trained, or the approver rejected the model, the task is skipped. The decision stores the churn, the
    approver, and the user who asked for a named candidate with their reason. If an approval is required, the decision
    is on `result`, even if there was nothing to approve.

    Raises:
        OutdatedQuestionError: an approval is required, and the champion, an evaluation or the verdict has changed.
    """
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.pipeline.promotion import decisions

    if model is None or result is None:
        raise AirflowSkipException("nothing was trained")
    if response and not response["approved"]:
        raise AirflowSkipException("the approver rejected the model, or did not answer")
    question = None
    if params["require_approval"]:
        question = decisions.PromotionQuestion(tuple(result["evaluation_ids"]), result["champion"], result["verdict"])
    asked = {"asked": {"by": asked_by, "reason": params["reason"]}} if params["candidate"] else {}
    decision = decisions.promote_if_better(
        workspace,
        model,
        margins=margins_of(workspace, params),
        decided_by=f"{_user_name(response)}, retrain_classifier" if response else "retrain_classifier",
        more={"churn": result["churn"], **asked},
        question=question,
    )
    return decision.promoted or decision.previous == model


def decline(workspace: Workspace, model: str | None, response: Mapping[str, Any] | None) -> None:
    """Store the user who declined the model; skip the task if nothing was trained."""
    from airflow.sdk.exceptions import AirflowSkipException

    from classifier.pipeline.promotion import decisions

    if model is None:
        raise AirflowSkipException("nothing was trained, so there was nothing to decide")
    user = _user_name(response)
    reason = "no user responded in time" if user == NO_USER else f"declined by {user}"
    decisions.decline(workspace, model, reason=reason, decided_by=f"{user}, retrain_classifier")


def margins_of(workspace: Workspace, params: Mapping[str, Any]) -> Margins:
    """Return the margins of the settings, with the changes of the run's parameters."""
    from classifier.evaluation.margins import Margins

    return Margins().with_changes(workspace.settings.gate).with_changes(params["gate"])


def write_question(result: GateResult, churn: Churn, *, task: str = "") -> str:
    """Return the verdict, the results of the rules and the label churn in Markdown, in which every name is escaped.

    `task` is the name of the task if there are several.
    """
    from classifier.plurals import plural

    compared = f"compared with the champion {result.champion}" if result.champion else "as a first model"
    articles = plural(result.test_articles, "test article")
    headline = f"**{_escape(result.model)}** {_escape(compared)}, on {articles}"
    minutes = churn.backfill_seconds / 60
    backfill = f"Labelling {plural(churn.backlog, 'article')} again takes about {minutes:,.0f} minutes."
    lines = [
        *([f"Task: **{_escape(task)}**", ""] if task else []),
        f"{headline}: **{result.gate.verdict}**.",
        "",
        *(f"- {rule.outcome}: {_escape(rule.reason)}" for rule in result.gate.rule_results),
        "",
        _describe_churn(churn),
        *(f"- {_escape(flow.before)} → {_escape(flow.after)}: {flow.articles:,}" for flow in churn.flows[:10]),
        "",
        f"{backfill} Without a response, the champion does not change.",
    ]
    return "\n".join(lines)


def _describe_churn(churn: Churn) -> str:
    if churn.champion is None:
        return "There is no champion whose labels would change."
    low, high = churn.share_interval
    share = f"{churn.share:.1%} ({low:.1%} to {high:.1%})"
    return f"Of {churn.sample:,} sampled labels {churn.changed:,} would change: {share}."


NO_USER = "no user"


def _user_name(response: Mapping[str, Any] | None) -> str:
    user = (response or {}).get("responded_by_user") or {}
    return str(user.get("name") or user.get("id") or NO_USER)


def _escape(text: str) -> str:
    """Return a text in which Markdown's special characters are escaped."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>|#" else character for character in text)
