"""Who may do what: Airflow's own permissions on the DAGs that do the same.

`docs/reference/permissions.md` lists every route with who may use it; a test checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from fastapi import HTTPException, Request

INGEST, RETRAIN, LABEL = "ingest_articles", "retrain_classifier", "label_articles"
REVIEW, WATCH = "review_articles", "watch_classifier"

Rule = Callable[[Request, BaseUser], None]
"""Raises the answer 403 to a user who may not."""

READ: Rule = requires_access_dag("GET", param_dag_id=RETRAIN)
"""Seeing the models and their evaluations, and any page at all: users who may see the DAG that makes the models."""

READ_REVIEW: Rule = requires_access_dag("GET", param_dag_id=REVIEW)
"""Reading articles that wait for review: users who may see the DAG that asks for them."""

STATIC = "static"
"""Name of the route of style sheets and scripts."""

OF_A_RUN = (None, DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
"""What a run's tab shows: the DAG, the run, its tasks, and what they returned."""

ROLL_BACK: Rule = requires_access_dag("PUT", param_dag_id=RETRAIN)
"""Changing the champion at once: whoever may edit that DAG."""

PROMOTE: Rule = requires_access_dag("POST", DagAccessEntity.RUN, RETRAIN)
"""Having a model judged, and promoted if the gate lets it: whoever may start that DAG."""

LABEL_AGAIN: Rule = requires_access_dag("POST", DagAccessEntity.RUN, LABEL)
"""Trying dead letters again: whoever may start the labelling."""

INGEST_AGAIN: Rule = requires_access_dag("POST", DagAccessEntity.RUN, INGEST)
"""Trying rejected rows again: whoever may start the ingest."""

ANNOTATE: Rule = requires_access_dag("POST", DagAccessEntity.RUN, REVIEW)
"""Annotating articles and settling conflicts: whoever may start the DAG that asks for them."""


ACTIONS: dict[str, Rule] = {
    "roll_back": ROLL_BACK,
    "promote": PROMOTE,
    "label_again": LABEL_AGAIN,
    "ingest_again": INGEST_AGAIN,
    "annotate": ANNOTATE,
}


def may_read(request: Request, user: GetUserDep) -> None:
    """Refuse a user who may not see what an address shows: a run of a DAG, or the classifier's pages.

    Style sheets and scripts are for every user: a run's tab has them, too.

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
    """Return the DAGs that the user may see, and so the results of. Asks Airflow's database."""
    return frozenset(dag for dag in set(dags) if _may(requires_access_dag("GET", param_dag_id=dag), request, user))


def rights(request: Request, user: BaseUser) -> frozenset[str]:
    """Return what the user may do, to show no button that would be refused. Asks Airflow's database."""
    return frozenset(name for name, rule in ACTIONS.items() if _may(rule, request, user))


def _may(rule: Rule, request: Request, user: BaseUser) -> bool:
    try:
        rule(request, user)
    except HTTPException:
        return False
    return True


def same_origin(request: Request) -> None:
    """Refuse what another site's page has sent in the user's name, with his cookie.

    Browsers say so in `Sec-Fetch-Site`; older ones and other programs have to name the origin.

    Raises:
        HTTPException: 403, it came from elsewhere or does not say from where.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    ours = {request.headers.get("host"), urlsplit(conf.get("api", "base_url", fallback="") or "").netloc} - {""}
    if site == "same-origin" or (site is None and origin and urlsplit(origin).netloc in ours):
        return
    raise HTTPException(403, "this was sent from another site; do it on the page itself")
