"""The defaults of every task: retries with back-off, timeouts, and what happens when it fails."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from classifier.exceptions import (
    DatabaseUnavailableError,
    NotComparableError,
    QueueChangedError,
    SourceUnavailableError,
    StatementTimeoutError,
    TrainingInProgressError,
    UserError,
)
from classifier_airflow import alerts

log = logging.getLogger(__name__)

EVALUATION_TIMEOUT = timedelta(hours=4)
"""Timeout of tasks that evaluate models on the test articles. A retry resumes where the attempt before it ended."""

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(DatabaseUnavailableError, RetryAction.RETRY, reason="the database may come back"),
        RetryRule(StatementTimeoutError, RetryAction.RETRY, reason="the database may be less busy later"),
        RetryRule(SourceUnavailableError, RetryAction.RETRY, reason="the source may answer later"),
        RetryRule(TrainingInProgressError, RetryAction.RETRY, reason="the previous attempt may end soon"),
        RetryRule(
            NotComparableError, RetryAction.RETRY, reason="the annotations may not change during the next attempt"
        ),
        RetryRule(QueueChangedError, RetryAction.RETRY, reason="the next attempt chooses from the present queue"),
        RetryRule(UserError, RetryAction.FAIL, reason="it fails in the same way until a user fixes the cause"),
    ]
)


def log_failure(context: Any) -> None:
    """Log the failure in one line."""
    instance = context["task_instance"]
    log.error(
        "%s.%s failed in run %s, try %s: %s",
        instance.dag_id,
        instance.task_id,
        context["run_id"],
        instance.try_number,
        context.get("exception"),
    )


DEFAULT_ARGS: dict[str, Any] = {
    "owner": "classifier",
    "retries": 3,  # no task has fewer: while the broker does not answer, each attempt to queue a task costs a try
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(hours=1),
    "on_failure_callback": [log_failure, alerts.alert_failure],
}
