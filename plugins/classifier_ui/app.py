"""The application that Airflow's API server mounts. Every route asks who may see what it shows; see `access`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from classifier_ui import actions, annotation, permissions, routes, templating
from classifier_ui.reading_cache import Cache

HEADERS = {
    # nothing but our own files; no script, style or handler within a page; in no frame but Airflow's own
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would hide the origin of our own forms
    "Cache-Control": "no-store",
}

SAID = {
    401: "You are not logged in to Airflow, or no longer. Log in there, then come back.",
    403: "Your role in Airflow does not allow this.",
    404: "There is no such page.",
}


def create() -> FastAPI:
    """Return the application, with a board of its own."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every look at the tables' version
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(permissions.may_read)])
    app.state.board = Cache()
    for one in (routes.router, actions.router, annotation.router, annotation.posted):
        app.include_router(one)
    app.middleware("http")(_with_headers)
    app.exception_handler(HTTPException)(_refusal)
    app.exception_handler(RequestValidationError)(_bad_form)
    return app


async def _with_headers(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await answer(request)
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _refusal(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, HTTPException)
    told = SAID.get(error.status_code, "")
    detail = "" if error.detail in {"Forbidden", "Not authenticated", "Not Found"} else str(error.detail)
    return _sorry(request, error.status_code, f"{told} {detail}".strip())


def _bad_form(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _sorry(request, 422, f"{first['loc'][-1]}: {first['msg']}")


def _sorry(request: Request, code: int, said: str) -> HTMLResponse:
    return HTMLResponse(templating.render("sorry.html", root=request.scope["root_path"], said=said), code)
