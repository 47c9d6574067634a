"""The routes that only read: pages, live sections, models, runs and static files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.core_api.security import GetUserDep
from classifier_airflow import instances
from classifier_airflow.instances import DAGS
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from classifier.articles import Task
from classifier.pipeline.database import active_tasks
from classifier_ui import permissions, plugin, runs, shown_task, templating, workspaces
from classifier_ui.reading_cache import Cache, Reading
from classifier_ui.sections import PAGES, SECTIONS, SectionPage, evaluation
from classifier_ui.sections.evaluation import ModelView
from classifier_ui.sections.section import Section

MODEL_FRESH_S, RUN_FRESH_S = 30.0, 5.0
"""How old the shown data of a model and of a run may be."""

YEAR_S = 31_536_000

DONE = {
    "rolled-back": "The champion has changed; its labels show at once.",
    "retried": "The dead letters wait for a label again; the next run of {label_articles} labels them.",
    "promoting": "A run of {retrain_classifier} evaluates the model and applies the gate; the model is promoted if it "
    "passes. The run waits while that DAG is paused.",
    "decided": "The conflict is resolved; the next training uses the decision.",
    "reading": "A run of {ingest_articles} reads the rejected rows again. It waits while that DAG is paused.",
}
"""Messages after an action, by the value of `done` in the URL, with the names of the DAGs in braces."""

router = APIRouter(default_response_class=HTMLResponse)


def cache_of(request: Request) -> Cache:
    """Return the application's cache."""
    cache: Cache = request.app.state.cache
    return cache


async def render_page(
    request: Request, user: Any, page: SectionPage, *, message: str = "", is_error: bool = False
) -> str:
    """Return a page, with a message above its sections."""
    visible = await run_in_threadpool(permissions.visible, request, user, [section.dag for section in page.sections])
    readings = await asyncio.gather(
        *(_read(request, section) if section.dag in visible else _refuse(section) for section in page.sections)
    )
    rights = await run_in_threadpool(permissions.rights, request, user) if page.path else frozenset[str]()
    return await templating.render_in_thread(
        "page.html",
        root=request.scope["root_path"],
        page=page,
        sections=list(zip(page.sections, readings, strict=True)),
        rights=rights,
        message=message,
        is_error=is_error,
    )


async def _read(request: Request, section: Section) -> Reading:
    return await cache_of(request).get(
        shown_task.key(section.name), lambda: section.read(workspaces.reading()), fresh_s=section.fresh_s
    )


async def _refuse(section: Section) -> Reading:
    dag = instances.current().prefixed(section.dag)
    return Reading(error=f"your role in Airflow may not read {dag}, whose results this section shows")


def _page_route(page: SectionPage) -> Callable[..., Any]:
    async def answer(request: Request, user: GetUserDep, done: Annotated[str, Query()] = "") -> HTMLResponse:
        return HTMLResponse(await render_page(request, user, page, message=_message(done)))

    return answer


def _message(done: str) -> str:
    """Return the message after an action, with the names that the DAGs have in this instance."""
    return DONE.get(done, "").format_map({name: instances.current().prefixed(name) for name in DAGS})


for _page in filter(lambda page: page.sections, PAGES):
    router.add_api_route(f"/{_page.path}", _page_route(_page), methods=["GET"], name=_page.title)


@router.get("/sections/{name}")
async def show_section(request: Request, user: GetUserDep, name: str) -> HTMLResponse:
    """Return a live section alone, which the open page fetches."""
    section = SECTIONS.get(name)
    if section is None or not section.live:
        raise HTTPException(404)
    if not await run_in_threadpool(permissions.visible, request, user, [section.dag]):
        raise HTTPException(403)
    reading = await _read(request, section)
    root = request.scope["root_path"]
    return HTMLResponse(
        await templating.render_in_thread(
            "section.html", root=root, section=section, reading=reading, rights=frozenset()
        )
    )


@router.get("/models/{name}")
async def show_model(request: Request, name: str) -> Response:
    """Return the page of a model: its decisions, learning curves and evaluation; or redirect to its task."""
    shown = shown_task.current()
    reading = await cache_of(request).get(
        ("model", name, shown.query), lambda: _read_model(name), fresh_s=MODEL_FRESH_S
    )
    root = request.scope["root_path"]
    if isinstance(reading.value, Task):
        return RedirectResponse(f"{root}/models/{quote(name)}?{shown_task.query_of(reading.value)}", 303)
    return HTMLResponse(await templating.render_in_thread("model.html", root=root, name=name, reading=reading))


def _read_model(name: str) -> ModelView | Task:
    """Return a model, or its task if that is not the request's."""
    shown = shown_task.current()
    if shown.task and shown.is_one_of_several and name != "champion":
        task = active_tasks.find_of_model(workspaces.reading(), name)
        if task.id != shown.task.id:
            return task
    return evaluation.read_model(workspaces.reading(), name)


@router.get("/runs/{dag}/{run_id:path}")
async def show_run(request: Request, dag: str, run_id: str) -> Response:
    """Return the results of a DAG run, for the tab on its page; or redirect to the pages of its instance."""
    if pages := plugin.pages_of(dag):
        return RedirectResponse(f"{plugin.BASE}{pages.path}/runs/{quote(dag)}/{quote(run_id)}", 303)
    reading = await cache_of(request).get(
        ("run", dag, run_id), lambda: runs.read_run(workspaces.reading(), dag, run_id), fresh_s=RUN_FRESH_S
    )
    root = request.scope["root_path"]
    return HTMLResponse(
        await templating.render_in_thread("run.html", root=root, dag=dag, run_id=run_id, reading=reading)
    )


@router.get("/static/{name}", name=permissions.STATIC)
async def static(name: str) -> Response:
    """Return a style sheet or a script; its URL changes with its content."""
    content = templating.static_files().get(name)
    if content is None:
        raise HTTPException(404)
    kind = templating.TYPES[f".{name.rsplit('.', 1)[-1]}"]
    return Response(content, media_type=kind, headers={"Cache-Control": f"private, max-age={YEAR_S}, immutable"})
