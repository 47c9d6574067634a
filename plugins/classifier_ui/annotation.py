"""The page on which people read one article after the other and say what it is. It works without JavaScript."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field, model_validator
from sqlalchemy.exc import SQLAlchemyError

from classifier.exceptions import ReviewError, UserError
from classifier.names import normalize_category
from classifier.pipeline.review import annotation
from classifier.pipeline.review.annotation import ReviewQuestion
from classifier_ui import permissions, reading_cache, templating, workspaces
from classifier_ui.routes import board as board_of
from classifier_ui.sections import conflicts, review

SKIP, BACK, COMMENT = "s", "b", "c"

KEYS = "".join(key for key in f"{string.digits[1:]}0{string.ascii_lowercase}" if key not in {SKIP, BACK, COMMENT})
"""The keys of the categories, in their order; where there are more categories, the rest have none."""

REASONS = {
    "uncertain": "two categories are nearly as likely",
    "diverse": "it is unlike the others that were chosen",
    "rare": "its category has few annotations",
    "rewritten": "its text has become another one since people annotated it",
    "audit": "drawn at random, so that right labels can be counted: what the model thinks is not shown",
}
"""Why an article was chosen, in words."""

CHANGED = (review.SECTION.name, conflicts.SECTION.name)
"""The sections that an answer changes. The others are dear to read, and people answer every few seconds."""

MAX_LENGTH = 2**63 - 1
Article = Annotated[int, Path(ge=1, le=MAX_LENGTH)]
After = Annotated[int | None, Query(ge=0, le=MAX_LENGTH)]

MAX_BUTTONS = 60
"""Categories up to which each has a button; of more, one is chosen from a list that is filtered by typing."""

READ = Depends(permissions.READ_REVIEW)
router = APIRouter(prefix="/review", default_response_class=HTMLResponse, dependencies=[READ])
posted = APIRouter(
    prefix="/review", dependencies=[Depends(permissions.same_origin), READ, Depends(permissions.ANNOTATE)]
)


class PostedAnswer(BaseModel):
    """What the form sends: the article with the revision that was read, and what it is said to be.

    The category is that of the button that was pressed, or `typed`.
    """

    article: int = Field(ge=1, le=MAX_LENGTH)
    revision: int = Field(ge=1, le=MAX_LENGTH)
    category: str = Field("", max_length=200)
    typed: str = Field("", max_length=200)
    comment: str = Field("", max_length=2000)

    @model_validator(mode="after")
    def _has_a_category(self) -> PostedAnswer:
        if not (self.category or self.typed):
            raise ValueError("choose a category")
        return self


@router.get("/next")
async def following(request: Request, user: GetUserDep, after: After = None) -> HTMLResponse:
    """Show the article that waits after another one."""
    name = user.get_name()
    return await _show(
        request, user, lambda: annotation.next_question(workspaces.reading(), name, after=after), before=after or None
    )


@router.get("/articles/{article}")
async def article(request: Request, user: GetUserDep, article: Article) -> HTMLResponse:
    """Show an article that was asked for, to say something else of it or to settle a conflict."""
    return await _again(request, user, article)


@posted.post("/annotate")
async def take_in(request: Request, user: GetUserDep, said: Annotated[PostedAnswer, Form()]) -> Response:
    """Take in what the user says of an article, and go on to the next."""
    return await _take(request, user, annotation.save_answer, said, f"next?after={said.article}")


@posted.post("/decide")
async def decide(request: Request, user: GetUserDep, said: Annotated[PostedAnswer, Form()]) -> Response:
    """Settle a conflict, and go back to the list."""
    return await _take(request, user, annotation.resolve, said, "?done=decided")


async def _take(request: Request, user: Any, take: Callable[..., None], said: PostedAnswer, to: str) -> Response:
    """Take an answer in; where it cannot be taken, show the article as it is now and say why."""

    def action() -> None:
        category = said.category or _known(said, user.get_name())
        answer = (said.article, said.revision, category)
        take(workspaces.acting(), *answer, annotator=user.get_name(), comment=said.comment)

    try:
        await board_of(request).act(action, forget=CHANGED)
    except (UserError, SQLAlchemyError) as error:
        return await _again(request, user, said.article, said=f"Not taken in: {reading_cache.said(error)}.", status=409)
    place = to if to.startswith("?") else f"/{to}"
    return RedirectResponse(f"{request.scope['root_path']}/review{place}", 303)


def _known(said: PostedAnswer, name: str) -> str:
    """Return the category that was typed, in the form in which annotations keep it.

    Raises:
        ReviewError: there is none of that name; a slip must not make a new one.
    """
    typed = normalize_category(said.typed)
    categories = annotation.read_question(workspaces.acting(), said.article, name).categories
    if typed not in map(normalize_category, categories):  # a model's own name may be in another form
        raise ReviewError(f"there is no category {typed!r}; choose one of the list")
    return typed


async def _again(request: Request, user: Any, article: int, *, said: str = "", status: int = 200) -> HTMLResponse:
    name = user.get_name()
    return await _show(
        request, user, lambda: annotation.read_question(workspaces.reading(), article, name), said=said, status=status
    )


async def _show(
    request: Request,
    user: Any,
    read: Callable[[], ReviewQuestion | None],
    *,
    before: int | None = None,
    said: str = "",
    status: int = 200,
) -> HTMLResponse:
    reading = await board_of(request).now(read)
    rights = await run_in_threadpool(permissions.rights, request, user)
    question: ReviewQuestion | None = reading.value
    content = await templating.in_thread(
        "annotate.html",
        root=request.scope["root_path"],
        reading=reading,
        question=question,
        choices=_choices(question) if question else [],
        listed=question.categories if question and len(question.categories) > MAX_BUTTONS else (),
        before=before,
        reasons=REASONS,
        rights=rights,
        said=said,
    )
    return HTMLResponse(content, status)


def _choices(question: ReviewQuestion) -> list[tuple[str, str]]:
    """Return the categories that have a button, each with its key; of many, those that the article is said to have."""
    names = list(question.categories)
    if len(names) > MAX_BUTTONS:
        said = [question.article.suggested, question.own_answer, *(one.category for one in question.opinions)]
        names = [name for name in dict.fromkeys(said) if name]
    return [(name, KEYS[place : place + 1]) for place, name in enumerate(names)]
