"""Tell people what failed, drifted or was held, by Slack, mail or whatever else Apprise knows.

Where to is the Airflow connection `classifier_alerts`, of type `apprise`; without it nobody is told. An alert says what
happened, what to do and where to look. It has no article text and no secret: of errors that are not ours only the kind
is told, since a database's may quote values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from classifier.exceptions import AlarmError, ClassifierError
from classifier_airflow.best_effort import best_effort, first_line

CONNECTION_ID = "classifier_alerts"

NOT_SENT = "an alert was not sent"

WHEN_IT_FAILS = re.compile(r"\*\*When it fails\*\*\s*(.+?)(?:\n\n|\Z)", re.DOTALL)
"""The paragraph of a DAG's runbook."""

IN_ADDRESS = re.compile(r"(?<=://)[^\s/@]*@|(?<=[^\s]\?)[^\s'\"]*=[^\s'\"]*")
"""What may be secret in an address: who asks, and what follows the question mark."""


class AlertError(ClassifierError):
    """None of the services of the connection took the alert; the lines above say why."""


@best_effort(NOT_SENT)
def failed(context: Any) -> None:
    """Tell that a task has failed for good, or that watching found something: an `on_failure_callback`."""
    instance, error = context["task_instance"], context.get("exception")
    alarm = isinstance(error, AlarmError)
    what = "alarm" if alarm else f"{instance.task_id} failed"
    todo = "" if alarm else _when_it_fails(context)  # an alarm says itself what to do
    _send(f"{instance.dag_id}: {what}", [_said(error), todo], instance, "warning" if alarm else "failure")


@best_effort(NOT_SENT)
def held(judged: Mapping[str, Any]) -> None:
    """Tell that the gate held a model, and why; an undecided one is not worth an alert."""
    from airflow.sdk import get_current_context

    if judged["verdict"] != "hold":
        return
    instance = get_current_context()["ti"]
    lines = [*judged["reasons"], "The champion stays. The classifier's page shows both models' figures."]
    _send(f"{instance.dag_id}: {judged['model']} was held", lines, instance, "warning")


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
    # the hook's own `notify` says nothing where nothing arrived
    if not services.notify(body, title=title, notify_type=NotifyType(kind)):
        raise AlertError


def _said(error: object) -> str:
    if isinstance(error, AlarmError):
        return str(error).replace(" | ", "\n\n")
    if isinstance(error, ClassifierError):
        return IN_ADDRESS.sub("***", first_line(error))
    return f"{type(error).__name__}: see the task's log."


def _when_it_fails(context: Any) -> str:
    found = WHEN_IT_FAILS.search(getattr(context.get("dag"), "doc_md", None) or "")
    return f"When it fails, {' '.join(found[1].split())}" if found else ""
