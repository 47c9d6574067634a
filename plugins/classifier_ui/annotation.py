"""The page on which users read one article after the other and annotate it. It works without JavaScript."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field, model_validator
from sqlalchemy.exc import SQLAlchemyError

from classifier.articles import join_labels
from classifier.exceptions import ReviewError, UserError
from classifier.names import normalize_category
from classifier.pipeline.review import annotation
from classifier.pipeline.review.annotation import ReviewQuestion
from classifier.pipeline.review.sheets import BLIND_REASONS
from classifier.review import category_lists
from classifier_ui import permissions, reading_cache, templating, workspaces
from classifier_ui.routes import cache_of
from classifier_ui.sections import conflicts, review

SKIP, BACK, COMMENT, WHY = "s", "b", "c", "w"

KEYS = "".join(key for key in f"{string.digits[1:]}0{string.ascii_lowercase}" if key not in {SKIP, BACK, COMMENT, WHY})
"""The keys of the categories, in their order; of more categories, the last ones have no key."""

REASONS = {
    "uncertain": "two categories are nearly as likely",
    "diverse": "it differs from the other chosen articles",
    "rare": "its category has few annotations",
    "rewritten": "its text has changed since it was annotated",
    "split": "its category was split",
    "audit": "it was drawn at random, to measure the accuracy of the labels; the model's label is hidden",
    "doubtful": "its annotation is probably wrong; the annotation and the model's label are hidden",
    "check": "its annotation is checked, like that of others drawn at random; it and the model's label are hidden",
}
"""Why an article was chosen, in words."""

MULTI_LABEL_REASONS = {
    "uncertain": "a category is nearly as likely as not",
    "rare": "one of its most probable categories has few annotations",
    "audit": "it was drawn at random, to measure the accuracy of the labels; the model's labels are hidden",
    "doubtful": "its annotation is probably wrong; the annotation and the model's labels are hidden",
    "check": "its annotation is checked, like that of others drawn at random; it and the model's labels are hidden",
}
"""Why, in a multi-label task, where that differs."""

CHANGED = (review.SECTION.name, conflicts.SECTION.name)
"""The sections that an annotation changes. The others are slow to read, and users annotate every few seconds."""

MAX_ID = 2**63 - 1
Article = Annotated[int, Path(ge=1, le=MAX_ID)]
After = Annotated[int | None, Query(ge=0, le=MAX_ID)]

MAX_CATEGORIES = 2000
"""Categories that a form may send."""

MAX_BUTTONS = 60
"""Categories up to which each has a button; of more, the user chooses from a list and filters it by typing."""

READ = Depends(permissions.READ_REVIEW)
router = APIRouter(prefix="/review", default_response_class=HTMLResponse, dependencies=[READ])
posted = APIRouter(
    prefix="/review", dependencies=[Depends(permissions.same_origin), READ, Depends(permissions.ANNOTATE)]
)


class AnnotationForm(BaseModel):
    """What the form sends: the article, the revision that the user read, and the categories.

    In a single-label task, the category is that of the button that was pressed, or `typed`. In a multi-label task,
    which sends `several`, the categories are those that are checked, and a typed list of others; none is an answer.
    """

    article: int = Field(ge=1, le=MAX_ID)
    revision: int = Field(ge=1, le=MAX_ID)
    category: list[Annotated[str, Field(max_length=200)]] = Field(default=[], max_length=MAX_CATEGORIES)
    typed: str = Field("", max_length=2000)
    several: bool = False
    comment: str = Field("", max_length=2000)

    @model_validator(mode="after")
    def _has_a_category(self) -> AnnotationForm:
        if not (self.several or any(self.category) or self.typed):
            raise ValueError("choose a category")
        return self


@router.get("/next")
async def show_next(request: Request, user: GetUserDep, after: After = None) -> HTMLResponse:
    """Show the next waiting article after another one."""
    name = user.get_name()
    return await _show(
        request, user, lambda: annotation.next_question(workspaces.reading(), name, after=after), before=after or None
    )


@router.get("/articles/{article}")
async def show_article(request: Request, user: GetUserDep, article: Article) -> HTMLResponse:
    """Show an article by its id, so that the user can annotate it again or resolve a conflict."""
    return await _show_article(request, user, article)


@posted.post("/annotate")
async def annotate(request: Request, user: GetUserDep, form: Annotated[AnnotationForm, Form()]) -> Response:
    """Save the user's annotation of an article, and redirect to the next one."""
    return await _save(request, user, annotation.save_answer, form, f"/next?after={form.article}")


@posted.post("/decide")
async def decide(request: Request, user: GetUserDep, form: Annotated[AnnotationForm, Form()]) -> Response:
    """Resolve a conflict, and redirect to the list."""
    return await _save(request, user, annotation.resolve, form, "?done=decided")


async def _save(request: Request, user: Any, save: Callable[..., None], form: AnnotationForm, to: str) -> Response:
    """Save an annotation; if it cannot be saved, show the article's present state, with the reason."""

    def action() -> None:
        values = (form.article, form.revision, _chosen_categories(form, user.get_name()))
        save(workspaces.acting(), *values, annotator=user.get_name(), comment=form.comment)

    try:
        await cache_of(request).act(action, forget=CHANGED)
    except (UserError, SQLAlchemyError) as error:
        message = f"The annotation was not saved: {reading_cache.describe_error(error)}."
        sent = form if form.several else None
        return await _show_article(request, user, form.article, message=message, status=409, sent=sent)
    return RedirectResponse(f"{request.scope['root_path']}/review{to}", 303)


def _chosen_categories(form: AnnotationForm, user_name: str) -> list[str]:
    """Return the chosen and the typed categories, in the form in which annotations store them.

    Raises:
        ReviewError: there is no such category; a typing mistake must not create one.
    """
    chosen = [name for name in map(normalize_category, form.category) if name]
    if not form.typed or (chosen and not form.several):
        return chosen
    typed = category_lists.parse_categories(form.typed) if form.several else (normalize_category(form.typed),)
    categories = annotation.read_question(workspaces.acting(), form.article, user_name).categories
    existing = {*map(normalize_category, categories)}  # a model's own name may be in another form
    for name in typed:
        if name not in existing:
            raise ReviewError(f"category {name!r}: unknown; choose one from the list")
    return list(dict.fromkeys([*chosen, *typed]))


async def _show_article(
    request: Request,
    user: Any,
    article: int,
    *,
    message: str = "",
    status: int = 200,
    sent: AnnotationForm | None = None,
) -> HTMLResponse:
    name = user.get_name()
    return await _show(
        request,
        user,
        lambda: annotation.read_question(workspaces.reading(), article, name),
        message=message,
        status=status,
        sent=sent,
    )


async def _show(
    request: Request,
    user: Any,
    read: Callable[[], ReviewQuestion | None],
    *,
    before: int | None = None,
    message: str = "",
    status: int = 200,
    sent: AnnotationForm | None = None,
) -> HTMLResponse:
    reading = await cache_of(request).read_now(read)
    rights = await run_in_threadpool(permissions.rights, request, user)
    question: ReviewQuestion | None = reading.value
    content = await templating.render_in_thread(
        "annotate.html",
        root=request.scope["root_path"],
        reading=reading,
        question=question,
        choices=_choices(question, sent.category if sent else None) if question else [],
        sent=sent,
        join_labels=join_labels,
        is_blind=question is not None and not BLIND_REASONS.isdisjoint(question.article.reason.split()),
        listed=question.categories if question and len(question.categories) > MAX_BUTTONS else (),
        before=before,
        reasons=REASONS | MULTI_LABEL_REASONS if question and question.kind == "multi" else REASONS,
        rights=rights,
        message=message,
    )
    return HTMLResponse(content, status)


@dataclass(frozen=True, slots=True)
class Choice:
    """A category with a button or, in a multi-label task, a check box, and its key."""

    name: str
    key: str
    suggested: bool
    checked: bool


def _choices(question: ReviewQuestion, chosen: Sequence[str] | None) -> list[Choice]:
    """Return the categories that have a button or a check box.

    If there are many categories, only those that the model, an annotator or this user chose for the article have one.
    """
    suggested = question.article.suggested or ()
    answers = [question.own_answer or (), *(opinion.categories for opinion in question.opinions)]
    checked = {*map(normalize_category, _preselected(question) if chosen is None else chosen)}
    names = list(question.categories)
    if len(names) > MAX_BUTTONS:
        of_article = [*suggested, *(name for answer in answers for name in answer), *(chosen or ())]
        names = [name for name in dict.fromkeys(of_article) if name]
    return [
        Choice(name, KEYS[index : index + 1], name in suggested, normalize_category(name) in checked)
        for index, name in enumerate(names)
    ]


def _preselected(question: ReviewQuestion) -> Sequence[str]:
    """Return the categories that are checked first: the user's own answer, what all agree on, or the suggestion."""
    if question.opinions:
        first, *others = (opinion.categories for opinion in question.opinions)
        return [name for name in first if all(name in other for other in others)]
    if question.own_answer is not None:
        return question.own_answer
    return question.article.suggested or ()
