"""Send alerts about failed tasks, drift and held models, by Slack, email or any other service that Apprise supports.

The Airflow connection `classifier_alerts`, of type `apprise`, names the services; if it does not exist, no alert is
sent. An alert says what happened, what to do and where to look. It contains no article text and no secret: of an error
that is not the classifier's own, it names only the type, since a database error may quote values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from classifier.exceptions import AlarmError, ClassifierError
from classifier_airflow.best_effort import best_effort, first_line
from classifier_airflow.tasks_of_run import prefix, task_of_failure

if TYPE_CHECKING:
    from classifier_airflow.tasks_of_run import ChosenTask

CONNECTION_ID = "classifier_alerts"

NOT_SENT = "cannot send an alert"

WHEN_IT_FAILS = re.compile(r"\*\*When it fails\*\*\s*(.+?)(?:\n\n|\Z)", re.DOTALL)
"""The paragraph of a DAG's runbook that an alert quotes."""

SECRET_IN_URL = re.compile(r"(?<=://)[^\s/@]*@|(?<=[^\s]\?)[^\s'\"]*=[^\s'\"]*")
"""The parts of a URL that may be secret: the user with the password, and the query."""


class AlertError(ClassifierError):
    """No service of the connection accepted the alert; see the log lines above."""


@best_effort(NOT_SENT)
def alert_failure(context: Any) -> None:
    """Send an alert that a task failed for good, or that a drift check raised an alarm: a failure callback."""
    instance, error = context["task_instance"], context.get("exception")
    alarm = isinstance(error, AlarmError)
    event = prefix(task_of_failure(instance)) + ("alarm" if alarm else f"{instance.task_id} failed")
    advice = "" if alarm else _when_it_fails(context)  # an alarm contains its own advice
    _send(f"{instance.dag_id}: {event}", [_describe(error), advice], instance, "warning" if alarm else "failure")


@best_effort(NOT_SENT)
def alert_held_model(gate_result: Mapping[str, Any], chosen: ChosenTask | None = None) -> None:
    """Send an alert that the gate held a model, with the reasons; an undecided model needs no alert."""
    from airflow.sdk import get_current_context

    if gate_result["verdict"] != "hold":
        return
    instance = get_current_context()["ti"]
    lines = [
        *gate_result["reasons"],
        "The champion does not change. The classifier's pages show the figures of both models.",
    ]
    title = f"{instance.dag_id}: {prefix(chosen)}{gate_result['model']} was held"
    _send(title, lines, instance, "warning")


@best_effort(NOT_SENT)
def alert_promoted_with_warnings(gate_result: Mapping[str, Any], chosen: ChosenTask | None = None) -> None:
    """Send an alert that a model was promoted although the gate warned, with the warnings."""
    from airflow.sdk import get_current_context

    if not gate_result.get("warnings"):
        return
    instance = get_current_context()["ti"]
    title = f"{instance.dag_id}: {prefix(chosen)}{gate_result['model']} was promoted with a warning"
    _send(title, list(gate_result["warnings"]), instance, "warning")


def _send(title: str, lines: list[str], instance: Any, kind: Literal["failure", "warning"]) -> None:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        connection = BaseHook.get_connection(CONNECTION_ID)
    except AirflowNotFoundException:
        return

    from airflow.providers.apprise.hooks.apprise import AppriseHook
    from apprise import Apprise, NotifyType

    services = Apprise()
    AppriseHook(CONNECTION_ID).set_config_from_conn(connection, services)
    body = "\n\n".join(line for line in [*lines, instance.log_url] if line)
    # the hook's own `notify` does not report that no service accepted the alert
    if not services.notify(body, title=title, notify_type=NotifyType(kind)):
        raise AlertError


def _describe(error: object) -> str:
    if isinstance(error, AlarmError):
        return str(error).replace(" | ", "\n\n")
    if isinstance(error, ClassifierError):
        return SECRET_IN_URL.sub("***", first_line(error))
    return f"{type(error).__name__}: see the task's log."


def _when_it_fails(context: Any) -> str:
    paragraph = WHEN_IT_FAILS.search(getattr(context.get("dag"), "doc_md", None) or "")
    return f"When it fails, {' '.join(paragraph[1].split())}" if paragraph else ""
