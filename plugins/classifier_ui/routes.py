"""What can be looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from classifier_ui import permissions, runs, templating, workspaces
from classifier_ui.reading_cache import Cache, Reading
from classifier_ui.sections import PAGES, SECTIONS, Page, evaluation
from classifier_ui.sections.section import Section

MODEL_S, RUN_S = 30.0, 5.0
"""How old what is shown of a model and of a run may be."""

YEAR_S = 31_536_000

DONE = {
    "rolled-back": "The champion is changed; its labels show at once.",
    "retried": "The dead letters wait for a label again; the next run of label_articles takes them.",
    "promoting": "A run of retrain_classifier measures and judges the model; the champion changes if the gate lets it. "
    "It waits while that DAG is paused.",
    "decided": "The conflict is settled: the next training learns from the decision.",
    "reading": "A run of ingest_articles reads the rejected rows again. It waits while that DAG is paused.",
}
"""What is said after something was done, by the word that the address carries."""

router = APIRouter(default_response_class=HTMLResponse)


def board(request: Request) -> Cache:
    """Return the application's board."""
    found: Cache = request.app.state.board
    return found


async def show(request: Request, user: Any, page: Page, *, said: str = "", bad: bool = False) -> str:
    """Return a page, with what is to be said above it."""
    seen = await run_in_threadpool(permissions.visible, request, user, [section.dag for section in page.sections])
    readings = await asyncio.gather(
        *(_read(request, section) if section.dag in seen else _refused(section) for section in page.sections)
    )
    rights = await run_in_threadpool(permissions.rights, request, user) if page.path else frozenset[str]()
    return await templating.in_thread(
        "page.html",
        root=request.scope["root_path"],
        page=page,
        parts=list(zip(page.sections, readings, strict=True)),
        rights=rights,
        said=said,
        bad=bad,
    )


async def _read(request: Request, section: Section) -> Reading:
    return await board(request).get(section.name, lambda: section.read(workspaces.reading()), fresh_s=section.fresh_s)


async def _refused(section: Section) -> Reading:
    return Reading(error=f"your role in Airflow may not see {section.dag}, whose results stand here")


def _page(page: Page) -> Callable[..., Any]:
    async def answer(request: Request, user: GetUserDep, done: Annotated[str, Query()] = "") -> HTMLResponse:
        return HTMLResponse(await show(request, user, page, said=DONE.get(done, "")))

    return answer


for _one in PAGES:
    router.add_api_route(f"/{_one.path}", _page(_one), methods=["GET"], name=_one.title)


@router.get("/sections/{name}")
async def section(request: Request, user: GetUserDep, name: str) -> HTMLResponse:
    """Return a live section alone, as the open page asks for it."""
    found = SECTIONS.get(name)
    if found is None or not found.live:
        raise HTTPException(404)
    if not await run_in_threadpool(permissions.visible, request, user, [found.dag]):
        raise HTTPException(403)
    reading = await _read(request, found)
    return HTMLResponse(
        await templating.in_thread(
            "part.html", root=request.scope["root_path"], section=found, reading=reading, rights=frozenset()
        )
    )


@router.get("/models/{name}")
async def model(request: Request, name: str) -> HTMLResponse:
    """Return all that is known of a model."""
    reading = await board(request).get(
        ("model", name), lambda: evaluation.of_model(workspaces.reading(), name), fresh_s=MODEL_S
    )
    content = await templating.in_thread("model.html", root=request.scope["root_path"], name=name, reading=reading)
    return HTMLResponse(content)


@router.get("/runs/{dag}/{run_id:path}")
async def run(request: Request, dag: str, run_id: str) -> HTMLResponse:
    """Return what a run of a DAG did, for the tab on its page."""
    reading = await board(request).get(
        ("run", dag, run_id), lambda: runs.read(workspaces.reading(), dag, run_id), fresh_s=RUN_S
    )
    return HTMLResponse(
        await templating.in_thread("run.html", root=request.scope["root_path"], dag=dag, run_id=run_id, reading=reading)
    )


@router.get("/static/{name}", name=permissions.STATIC)
async def static(name: str) -> Response:
    """Return a style sheet or a script; its address changes with its content."""
    content = templating.static_files().get(name)
    if content is None:
        raise HTTPException(404)
    kind = templating.TYPES[f".{name.rsplit('.', 1)[-1]}"]
    return Response(content, media_type=kind, headers={"Cache-Control": f"private, max-age={YEAR_S}, immutable"})
