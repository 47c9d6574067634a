"""The page of an article: its text, its labels and annotations, and on demand why the model gives it its label.

An explanation is computed in a process of its own, which the threads below wait for: see
`classifier.pipeline.review.explanation_process`. Nothing of it is stored.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse

from classifier.articles import join_labels
from classifier.exceptions import ArticleNotFoundError, UserError
from classifier.pipeline.review import article_details, explanation_process
from classifier.pipeline.review.article_details import ArticleDetails
from classifier.pipeline.review.article_explanation import ArticleRequest
from classifier_ui import permissions, reading_cache, shown_task, templating, workspaces
from classifier_ui.explained_text import ExplainedArticle
from classifier_ui.reading_cache import Reading
from classifier_ui.routes import cache_of

MAX_ID = 2**63 - 1
Article = Annotated[int, Path(ge=1, le=MAX_ID)]
Category = Annotated[str | None, Query(max_length=200)]

HIDDEN = "This article waits for an independent annotation. Annotate it first; then its label is shown."
BLIND = "This article waits for an independent annotation. Annotate it first; then its label is shown and explained."
NO_CHAMPION = "No model has been promoted yet, so there is no label to explain."

_waiting = CapacityLimiter(explanation_process.MAX_REQUESTS + 2)
"""Threads that wait for explanations. Further requests are refused by the process, so two are enough for them."""

router = APIRouter(
    prefix="/articles", default_response_class=HTMLResponse, dependencies=[Depends(permissions.READ_REVIEW)]
)


@router.get("/{article}")
async def show_details(
    request: Request, user: GetUserDep, article: Article, why: bool = False, category: Category = None
) -> HTMLResponse:
    """Show an article; with `why`, also the explanation of its label, for browsers without JavaScript."""
    name = user.get_name()
    reading, status = await _read(request, article, name)
    details: ArticleDetails | None = reading.value
    explained, problem = None, ""
    if why and details:
        explained, problem = await _explain(details, ArticleRequest(_task(), article, details.revision, category, name))
    content = await templating.render_in_thread(
        "article.html",
        root=request.scope["root_path"],
        reading=reading,
        article=details,
        explained=explained,
        problem=problem,
        hidden=BLIND if details and details.is_blind else HIDDEN,
        join_labels=join_labels,
    )
    return HTMLResponse(content, status)


@router.get("/{article}/why")
async def show_explanation(
    request: Request,
    user: GetUserDep,
    article: Article,
    revision: Annotated[int, Query(ge=1, le=MAX_ID)],
    category: Category = None,
) -> HTMLResponse:
    """Return the explanation of an article's label alone, which the open page fetches; else, with 409, why not."""
    name = user.get_name()
    reading, _ = await _read(request, article, name)
    details: ArticleDetails | None = reading.value
    explained, problem = None, reading.error or ""
    if details:
        explained, problem = await _explain(details, ArticleRequest(_task(), article, revision, category, name))
    content = await templating.render_in_thread(
        "explanation.html",
        root=request.scope["root_path"],
        article=details,
        explained=explained,
        problem=problem,
        is_fragment=True,
        join_labels=join_labels,
    )
    return HTMLResponse(content, 200 if explained else 409)


async def _read(request: Request, article: int, reader: str) -> tuple[Reading, int]:
    """Return the article and the status of its page."""
    reading = await cache_of(request).read_now(lambda: _find(article, reader))
    if isinstance(reading.value, ArticleNotFoundError):
        return Reading(error=str(reading.value)), 404
    return reading, 200 if reading.value else 503


def _find(article: int, reader: str) -> ArticleDetails | ArticleNotFoundError:
    try:
        return article_details.read_article(workspaces.reading(), article, reader)
    except ArticleNotFoundError as error:
        return error


def _task() -> int | None:
    task = shown_task.current().task
    return task.id if task else None


async def _explain(details: ArticleDetails, request: ArticleRequest) -> tuple[ExplainedArticle | None, str]:
    """Return the explanation, or why there is none."""
    if details.is_blind or not details.has_champion:
        return None, BLIND if details.is_blind else NO_CHAMPION
    try:
        answer: dict[str, Any] = await to_thread.run_sync(
            partial(_ask, request), limiter=_waiting, abandon_on_cancel=True
        )
    except UserError as error:
        return None, reading_cache.describe_error(error)
    return ExplainedArticle.of(answer), ""


def _ask(request: ArticleRequest) -> dict[str, Any]:
    return workspaces.explanations().ask(request)
