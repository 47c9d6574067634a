"""The page of a task's categories: their tree, forms that change them in two steps, and the history of changes.

It works without JavaScript. The first step previews a change, the second applies exactly what was previewed: a form
carries the number of changes that its user has seen, and if there are newer ones, nothing is changed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError

from classifier.exceptions import UserError
from classifier.pipeline.categories import overview
from classifier.pipeline.categories.changes import ChangeReport
from classifier.pipeline.categories.overview import CategorySummary, PastChange
from classifier_ui import category_forms, category_list, permissions, reading_cache, shown_task, templating, workspaces
from classifier_ui.category_forms import IMPORT_EFFECT, KINDS, ChangeForm, FormChange
from classifier_ui.category_list import Search
from classifier_ui.reading_cache import Reading
from classifier_ui.routes import cache_of

FRESH_S = 10.0
"""How old the numbers of annotated articles may be."""

CACHE_KEY = "categories"
MAX_CHOSEN = 200
MAX_CATEGORIES = 100_000

router = APIRouter(prefix="/categories", default_response_class=HTMLResponse)
posted = APIRouter(
    prefix="/categories",
    dependencies=[Depends(permissions.same_origin), Depends(permissions.CHANGE_CATEGORIES)],
)


class PageQuery(BaseModel):
    """What the page's address says: a search, the checked categories, and the form that is open."""

    find: str = Field("", max_length=200)
    closed: bool = False
    start: int = Field(0, ge=0, le=MAX_CATEGORIES)
    name: list[Annotated[str, Field(max_length=200)]] = Field(default=[], max_length=MAX_CHOSEN)
    change: FormChange | Literal[""] = ""
    done: str = Field("", max_length=20)


@router.get("", name="Categories")
async def show_categories(request: Request, user: GetUserDep, query: Annotated[PageQuery, Query()]) -> HTMLResponse:
    """Show the categories, the history of their changes and, if it is asked for, a form."""
    return await _show(request, user, query)


@posted.post("/preview")
async def preview_change(request: Request, user: GetUserDep, form: Annotated[ChangeForm, Form()]) -> Response:
    """Show what a change would do."""
    try:
        report = await _perform(request, user, form, preview=True)
    except (UserError, SQLAlchemyError) as error:
        return await _show_error(request, user, form, error)
    return await _show(request, user, _query_of(form), form=form, report=report)


@posted.post("/apply")
async def apply_change(request: Request, user: GetUserDep, form: Annotated[ChangeForm, Form()]) -> Response:
    """Change categories, and redirect to the page."""
    try:
        await _perform(request, user, form, preview=False)
    except (UserError, SQLAlchemyError) as error:
        return await _show_error(request, user, form, error)
    return RedirectResponse(f"{request.scope['root_path']}/categories?done=changed", 303)


async def _perform(request: Request, user: Any, form: ChangeForm, *, preview: bool) -> ChangeReport:
    def action() -> ChangeReport:
        name = user.get_name()
        return category_forms.perform(workspaces.acting(), form, changed_by=name, preview=preview)

    return await cache_of(request).act(action, forget=() if preview else None)


async def _show_error(request: Request, user: Any, form: ChangeForm, error: Exception) -> HTMLResponse:
    """Show the form with what was typed and the reason why nothing was changed."""
    message = reading_cache.describe_error(error)
    return await _show(request, user, _query_of(form), form=form, error=message)


def _query_of(form: ChangeForm) -> PageQuery:
    """Return the query of a page whose list has the categories of a form checked."""
    names = category_forms.split_lines(form.names)[:MAX_CHOSEN]
    return PageQuery(name=[name for name in names if len(name) <= 200], change=form.change)


async def _show(
    request: Request,
    user: Any,
    query: PageQuery,
    *,
    form: ChangeForm | None = None,
    report: ChangeReport | None = None,
    error: str = "",
) -> HTMLResponse:
    history, reading = await _read(request)
    rights = await run_in_threadpool(permissions.rights, request, user)
    changes: list[PastChange] = history.value or []
    categories: list[CategorySummary] = reading.value or []
    if form is None and query.change:
        form = _open_form(query, categories, seen=len(changes))
    elif form and error:
        form = form.model_copy(update={"seen": len(changes)})  # the page shows these changes
    search = Search(query.find, query.closed, query.start, tuple(query.name))
    content = await templating.render_in_thread(
        "categories.html",
        root=request.scope["root_path"],
        reading=history if history.error else reading,
        listed=category_list.list_rows(categories, search),
        unknown=category_list.unknown_to_champion(categories),
        categories=categories,
        search=search,
        changes=changes,
        undoable=category_list.last_undoable(changes),
        kinds=KINDS,
        form=form if "change_categories" in rights else None,
        report=report,
        affected=_affected(form, categories) if form and report else [],
        error=error,
        done=_effect_of_last(changes) if query.done == "changed" else "",
        rights=rights,
        limits=category_list,
    )
    return HTMLResponse(content, 409 if error else 200)


async def _read(request: Request) -> tuple[Reading, Reading]:
    """Return the present history, and the categories after its last change with numbers that may be older."""
    history = await cache_of(request).read_now(lambda: overview.read_history(workspaces.reading()))
    if history.error:
        return history, history
    task = shown_task.current().task
    key = (CACHE_KEY, task.id if task else None, len(history.value))
    reading = await cache_of(request).get(
        key, lambda: overview.list_categories(workspaces.reading(), closed=True), fresh_s=FRESH_S
    )
    return history, reading


def _effect_of_last(changes: list[PastChange]) -> str:
    """Return what the last change does, which another user may have imported meanwhile; empty: there is none."""
    effects: dict[str, str] = {kind: form.effect for kind, form in KINDS.items()}
    return effects.get(changes[0].kind, IMPORT_EFFECT) if changes else ""


def _open_form(query: PageQuery, categories: list[CategorySummary], *, seen: int) -> ChangeForm:
    """Return an empty form for the checked categories; what can be edited has its present value."""
    assert query.change
    form = ChangeForm(change=query.change, seen=seen)
    if query.change == "undo":
        return form
    form.names = "\n".join(query.name if KINDS[query.change].several else query.name[:1])
    if len(query.name) == 1:
        for category in category_list.named(categories, query.name):
            form.description = category.description
            form.targets = "".join(category.path[-2:-1]) if query.change == "move" else ""
    return form


def _affected(form: ChangeForm, categories: list[CategorySummary]) -> list[CategorySummary]:
    """Return the existing categories that a form names."""
    names = category_forms.split_lines(form.names)
    return category_list.named(categories, {*names, *category_forms.split_lines(form.targets)})
