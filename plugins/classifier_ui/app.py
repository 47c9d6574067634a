"""The application that Airflow's API server mounts. Every route checks the user's permissions; see `permissions`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlencode

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from classifier.articles import Task
from classifier_ui import actions, annotation, articles, categories, permissions, routes, shown_task, templating
from classifier_ui.reading_cache import Cache
from classifier_ui.shown_task import UnknownTaskError

HEADERS = {
    # only our own files; no script, style or handler within a page; no frame but Airflow's own
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would hide the origin of our own forms
    "Cache-Control": "no-store",
}

MESSAGES = {
    401: "You are not logged in to Airflow. Log in there, then come back.",
    403: "Your role in Airflow does not allow this.",
    404: "Page not found.",
}


def create() -> FastAPI:
    """Return the application, with a cache of its own."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs every check of the tables' version
    checks = [Depends(permissions.may_read), Depends(shown_task.choose)]
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, dependencies=checks)
    app.state.cache = Cache()
    for router in (routes.router, actions.router, annotation.router, annotation.posted, articles.router):
        app.include_router(router)
    for router in (categories.router, categories.posted):
        app.include_router(router)
    app.middleware("http")(_add_headers)
    app.exception_handler(HTTPException)(_show_http_error)
    app.exception_handler(RequestValidationError)(_show_invalid_form)
    return app


async def _add_headers(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await answer(request)
    if to := response.headers.get("location"):
        response.headers["location"] = shown_task.add_to_address(to, _task_query(request))
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _task_query(request: Request) -> str:
    """Return the request's own parameter `task`, with which it is redirected to another page."""
    name = request.query_params.get(shown_task.PARAMETER)
    return urlencode({shown_task.PARAMETER: name}, quote_via=quote) if name else ""


def _show_http_error(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, UnknownTaskError):
        return _show_error(request, error.status_code, error.detail, error.tasks)
    message = "" if isinstance(error, permissions.CrossSiteError) else MESSAGES.get(error.status_code, "")
    detail = "" if error.detail in {"Forbidden", "Not authenticated", "Not Found"} else str(error.detail)
    return _show_error(request, error.status_code, f"{message} {detail}".strip())


def _show_invalid_form(request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _show_error(request, 422, f"{first['loc'][-1]}: {first['msg']}")


def _show_error(request: Request, status: int, message: str, tasks: tuple[Task, ...] = ()) -> HTMLResponse:
    root = request.scope["root_path"]
    return HTMLResponse(templating.render("error.html", root=root, message=message, tasks=tasks), status)
