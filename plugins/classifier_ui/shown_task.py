"""The task that a request shows and acts on: that of the query parameter `task`, else the first one.

A request's task is a context variable, which the threads that read and act for the request get, too. So every section,
action and template is of the same task without being told. While there is one task, no page shows its name, and no
address contains it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Hashable
from contextvars import ContextVar
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import HTTPException, Request

from classifier.articles import Task
from classifier.pipeline.database import active_tasks
from classifier_ui import workspaces
from classifier_ui.reading_cache import Cache

FRESH_S = 5.0
"""How old the list of tasks may be."""

PARAMETER = "task"

_OWN_PATHS = ("/static/", "/runs/")
"""Paths below the pages' that are not of one task: a run has tasks of its own."""


@dataclass(frozen=True, slots=True)
class ShownTask:
    """A request's task and all tasks that are not archived; without a task if the database does not answer."""

    task: Task | None = None
    tasks: tuple[Task, ...] = ()

    @property
    def is_one_of_several(self) -> bool:
        """Whether the pages must tell which task they show."""
        return len(self.tasks) > 1

    @property
    def query(self) -> str:
        """What addresses carry: `task=NAME`; empty if there is one task."""
        return query_of(self.task) if self.task and self.is_one_of_several else ""

    @property
    def option(self) -> str:
        """What commands that a page names carry: ` --task NAME`; empty if there is one task."""
        return f" --task {shlex.quote(self.task.name)}" if self.task and self.is_one_of_several else ""


_shown: ContextVar[ShownTask | None] = ContextVar("shown_task", default=None)


class UnknownTaskError(HTTPException):
    """There is no such task, or it is archived; `tasks` are those that a page can show."""

    def __init__(self, name: str, tasks: tuple[Task, ...]) -> None:
        problem = f"{name[:100]}: no such task." if name else "There are several tasks now, and nothing was changed."
        super().__init__(404, f"{problem} Choose one:")
        self.tasks = tasks


def current() -> ShownTask:
    """Return the task of the present request."""
    return _shown.get() or ShownTask()


def key(name: str) -> Hashable:
    """Return the cache's key for what is read under a name: with the task, which may not always be the only one."""
    shown = current()
    return (name, shown.task.id) if shown.task else name


async def choose(request: Request) -> None:
    """Choose the task that the request shows.

    Raises:
        UnknownTaskError: there is no such task.
    """
    path = request.url.path.removeprefix(request.scope["root_path"])
    if path.startswith(_OWN_PATHS):
        return
    cache: Cache = request.app.state.cache
    reading = await cache.get("tasks", lambda: active_tasks.list_active(workspaces.reading()), fresh_s=FRESH_S)
    tasks: tuple[Task, ...] = tuple(reading.value or ())
    name = request.query_params.get(PARAMETER)
    if not tasks:
        return  # each section shows the error of the database
    if request.method == "POST" and not name and len(tasks) > 1:
        raise UnknownTaskError("", tasks)  # the form was opened while there was one task
    task = next((task for task in tasks if task.name == name), None) if name else tasks[0]
    if task is None:
        raise UnknownTaskError(name or "", tasks)
    _shown.set(ShownTask(task, tasks))
    workspaces.request_task.set(task.id)


def query_of(task: Task) -> str:
    """Return the query of an address that shows a task."""
    return f"{PARAMETER}={quote(task.name, safe='')}"


def add_to_address(address: str, query: str) -> str:
    """Return the address with the query, unless it names a task already."""
    if not query or re.search(rf"[?&;]{PARAMETER}=", address):
        return address
    address, hash_, fragment = address.partition("#")
    return f"{address}{'&' if '?' in address else '?'}{query}{hash_}{fragment}"


def add_to_links(page: str, root: str) -> str:
    """Return a page whose links, forms and live sections stay with the shown task.

    Every value in a page is escaped, so only a template can have written such an attribute.
    """
    query = current().query
    if not query:
        return page
    others = "|".join(path.strip("/") for path in _OWN_PATHS)
    ours = re.compile(rf'(?<=\s)(href|action|data-live|data-why)="({re.escape(root)}/(?!(?:{others})/)[^"]*)"')

    def with_task(match: re.Match[str]) -> str:
        return f'{match[1]}="{add_to_address(match[2], query)}"'

    return ours.sub(with_task, page)
