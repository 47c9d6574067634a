"""The actions that a user can take on the pages. Each is a use case, or a run of the DAG whose workers can do it.

A rollback and a retry of dead letters are a few statements. An evaluation and an ingest take minutes. They also need
what only workers have: the engine, write access to the models' folder, the sources. So they are DAG runs, which Airflow
shows and logs like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.exceptions import AirflowException
from airflow.utils.types import DagRunTriggeredByType
from classifier_airflow import instances
from classifier_airflow.instances import INGEST, RETRAIN
from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy.exc import SQLAlchemyError

from classifier.exceptions import UserError
from classifier.pipeline.labelling import dead_letters
from classifier.pipeline.promotion import decisions, model_details
from classifier_ui import permissions, reading_cache, shown_task, workspaces
from classifier_ui.routes import cache_of, render_page
from classifier_ui.sections import PAGES

router = APIRouter(dependencies=[Depends(permissions.same_origin)])

Name = Annotated[str, Form(min_length=1, max_length=200)]
Reason = Annotated[str, Form(min_length=3, max_length=1000)]


@router.post("/rollback", dependencies=[Depends(permissions.ROLL_BACK)])
async def roll_back(request: Request, user: GetUserDep, to: Name, reason: Reason) -> Response:
    """Make a former champion champion again."""

    def action() -> None:
        decisions.roll_back(
            workspaces.acting(), to, reason=reason.strip(), decided_by=f"{user.get_name()}, Airflow's UI"
        )

    return await _run_action(request, user, action, path="models", done="rolled-back")


@router.post("/promote", dependencies=[Depends(permissions.PROMOTE)])
async def promote_model(request: Request, user: GetUserDep, model: Name, reason: Reason) -> Response:
    """Start a run that evaluates a model, applies the gate, and promotes the model if the gate passes it."""

    def action() -> None:
        name = model_details.describe_model(workspaces.acting(), model).name
        conf = {"candidate": name, "reason": reason.strip(), "min_new_annotations": 0}
        _trigger(RETRAIN, user, conf | _task_of_request())

    return await _run_action(request, user, action, path="models", done="promoting")


@router.post("/dead-letters", dependencies=[Depends(permissions.LABEL_AGAIN)])
async def retry_dead_letters(request: Request, user: GetUserDep) -> Response:
    """Put all dead letters back into the queue."""

    def action() -> None:
        dead_letters.retry_dead_letters(workspaces.acting())

    return await _run_action(request, user, action, path="problems", done="retried")


@router.post("/rejected-rows", dependencies=[Depends(permissions.INGEST_AGAIN)])
async def retry_rejected(request: Request, user: GetUserDep) -> Response:
    """Start a run that reads the sources of rejected rows again."""

    def action() -> None:
        _trigger(INGEST, user, {"rejected": True})

    return await _run_action(request, user, action, path="problems", done="reading")


async def _run_action(request: Request, user: Any, action: Callable[[], None], *, path: str, done: str) -> Response:
    """Run an action and redirect to its page; if the action fails, show the page with the reason."""
    try:
        await cache_of(request).act(action)
    except (UserError, AirflowException, SQLAlchemyError) as error:
        message = str(error) if isinstance(error, AirflowException) else reading_cache.describe_error(error)
        page = next(page for page in PAGES if page.path == path)
        return HTMLResponse(await render_page(request, user, page, message=message, is_error=True), 409)
    return RedirectResponse(f"{request.scope['root_path']}/{path}?done={done}", 303)


def _task_of_request() -> dict[str, str]:
    """Return the parameter `task` of a run for the request's task; none if it is the only one."""
    shown = shown_task.current()
    return {"task": shown.task.name} if shown.task and shown.is_one_of_several else {}


def _trigger(dag: str, user: Any, conf: dict[str, Any]) -> None:
    dag_id = instances.current().prefixed(dag)
    trigger_dag(dag_id, triggered_by=DagRunTriggeredByType.UI, triggering_user_name=user.get_name(), conf=conf)
