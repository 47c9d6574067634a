"""What can be done on the page. Each is a use case, or a run of the DAG whose workers can do it.

Rolling back and dead letters are a statement or a few. Measuring a model and reading files again take minutes,
and what only workers have: the engine, the models' folder to write to, the sources. So they are runs, seen and
logged as any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.exceptions import AirflowException
from airflow.utils.types import DagRunTriggeredByType
from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy.exc import SQLAlchemyError

from classifier.exceptions import UserError
from classifier.pipeline.labelling import dead_letters
from classifier.pipeline.promotion import decisions, model_details
from classifier_ui import permissions, reading_cache, workspaces
from classifier_ui.permissions import INGEST, RETRAIN
from classifier_ui.routes import board as board_of
from classifier_ui.routes import show
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

    return await _do(request, user, action, page="models", done="rolled-back")


@router.post("/promote", dependencies=[Depends(permissions.PROMOTE)])
async def promote_model(request: Request, user: GetUserDep, model: Name, reason: Reason) -> Response:
    """Have a model measured and judged, and promoted if the gate lets it."""

    def action() -> None:
        name = model_details.describe_model(workspaces.acting(), model).name
        _trigger(RETRAIN, user, {"candidate": name, "reason": reason.strip(), "min_new_annotations": 0})

    return await _do(request, user, action, page="models", done="promoting")


@router.post("/dead-letters", dependencies=[Depends(permissions.LABEL_AGAIN)])
async def retry_dead_letters(request: Request, user: GetUserDep) -> Response:
    """Put all dead letters back into the queue."""

    def action() -> None:
        dead_letters.retry_dead_letters(workspaces.acting())

    return await _do(request, user, action, page="problems", done="retried")


@router.post("/rejected-rows", dependencies=[Depends(permissions.INGEST_AGAIN)])
async def retry_rejected(request: Request, user: GetUserDep) -> Response:
    """Have the sources of rejected rows read again."""

    def action() -> None:
        _trigger(INGEST, user, {"rejected": True})

    return await _do(request, user, action, page="problems", done="reading")


async def _do(request: Request, user: Any, action: Callable[[], None], *, page: str, done: str) -> Response:
    """Do it, and go back to the page; where it cannot be done, say why on it."""
    try:
        await board_of(request).act(action)
    except (UserError, AirflowException, SQLAlchemyError) as error:
        said = str(error) if isinstance(error, AirflowException) else reading_cache.said(error)
        found = next(one for one in PAGES if one.path == page)
        return HTMLResponse(await show(request, user, found, said=said, bad=True), 409)
    return RedirectResponse(f"{request.scope['root_path']}/{page}?done={done}", 303)


def _trigger(dag: str, user: Any, conf: dict[str, Any]) -> None:
    trigger_dag(dag, triggered_by=DagRunTriggeredByType.UI, triggering_user_name=user.get_name(), conf=conf)
