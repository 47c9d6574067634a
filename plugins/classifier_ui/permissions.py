"""Permissions of each route: Airflow's own permissions on the DAGs that do the same.

`docs/reference/permissions.md` lists every route with the roles that may use it; a test checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from classifier_airflow import instances
from classifier_airflow.instances import DRIFT, INGEST, LABEL, RETRAIN, REVIEW  # noqa: F401 - sections name them
from fastapi import HTTPException, Request

Rule = Callable[[Request, BaseUser], None]
"""Raises HTTP error 403 if the user lacks the permission."""


def _rule(method: ResourceMethod, name: str, entity: DagAccessEntity | None = None) -> Rule:
    """Return a rule that asks for a permission on a DAG of the present instance."""

    def check(request: Request, user: GetUserDep) -> None:
        requires_access_dag(method, entity, instances.current().prefixed(name))(request, user)

    return check


READ: Rule = _rule("GET", RETRAIN)
"""Reading the models, their evaluations and every page: users who may read the DAG that trains the models."""

READ_REVIEW: Rule = _rule("GET", REVIEW)
"""Reading articles, their annotations and why a model labels them, whether they wait for review or not.

Users who may read the DAG that queues articles for review.
"""

STATIC = "static"
"""Name of the route that serves style sheets and scripts."""

OF_A_RUN = (None, DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
"""Entities that a run's tab shows: the DAG, the run, its tasks, and their return values."""

ROLL_BACK: Rule = _rule("PUT", RETRAIN)
"""Changing the champion at once: users who may edit that DAG."""

PROMOTE: Rule = _rule("POST", RETRAIN, DagAccessEntity.RUN)
"""Applying the gate to a model, and promoting it if it passes: users who may start that DAG."""

CHANGE_CATEGORIES: Rule = _rule("POST", RETRAIN, DagAccessEntity.RUN)
"""Changing categories, which the next training learns: users who may start that DAG."""

LABEL_AGAIN: Rule = _rule("POST", LABEL, DagAccessEntity.RUN)
"""Retrying dead letters: users who may start the labelling."""

INGEST_AGAIN: Rule = _rule("POST", INGEST, DagAccessEntity.RUN)
"""Retrying rejected rows: users who may start the ingest."""

ANNOTATE: Rule = _rule("POST", REVIEW, DagAccessEntity.RUN)
"""Annotating articles and resolving conflicts: users who may start the DAG that queues them."""


ACTIONS: dict[str, Rule] = {
    "roll_back": ROLL_BACK,
    "promote": PROMOTE,
    "change_categories": CHANGE_CATEGORIES,
    "label_again": LABEL_AGAIN,
    "ingest_again": INGEST_AGAIN,
    "annotate": ANNOTATE,
}


def may_read(request: Request, user: GetUserDep) -> None:
    """Raise an error if the user may not read what a route shows: a run of a DAG, or the classifier's pages.

    Every user may read style sheets and scripts, since a run's tab uses them too.

    Raises:
        HTTPException: 403.
    """
    if request.scope["route"].name == STATIC:
        return
    dag = request.path_params.get("dag")
    rules = [READ] if dag is None else [requires_access_dag("GET", entity, dag) for entity in OF_A_RUN]
    for rule in rules:
        rule(request, user)


def visible(request: Request, user: BaseUser, dags: Iterable[str]) -> frozenset[str]:
    """Return those of the DAGs, by their names in `DAGS`, that the user may read. This queries Airflow's database."""
    return frozenset(dag for dag in set(dags) if _may(_rule("GET", dag), request, user))


def rights(request: Request, user: BaseUser) -> frozenset[str]:
    """Return the actions that the user may take, so that no other button is shown. This queries Airflow's database."""
    return frozenset(name for name, rule in ACTIONS.items() if _may(rule, request, user))


def _may(rule: Rule, request: Request, user: BaseUser) -> bool:
    try:
        rule(request, user)
    except HTTPException:
        return False
    return True


class CrossSiteError(HTTPException):
    """A page of another site sent the request, so it says nothing about the user's role."""

    def __init__(self) -> None:
        super().__init__(403, "The request came from another site; use the page itself.")


def same_origin(request: Request) -> None:
    """Raise an error if a page of another site has sent the request with the user's cookie.

    Browsers name the origin in `Sec-Fetch-Site`; older browsers and other programs must send `Origin`.

    Raises:
        CrossSiteError: the origin is another site or is missing.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    ours = {request.headers.get("host"), urlsplit(conf.get("api", "base_url", fallback="") or "").netloc} - {""}
    if site == "same-origin" or (site is None and origin and urlsplit(origin).netloc in ours):
        return
    raise CrossSiteError
