"""Tell OpenLineage which tables and models a task read and wrote, where its provider is installed and switched on.

So a line leads from articles and annotations to a model's folder, and from there to the predictions. The names are
OpenLineage's own for Postgres and files: another tool that works on the same database continues the line.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier_airflow.best_effort import best_effort

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from classifier.pipeline.labelling.queue import LabellingReport
    from classifier.pipeline.training.candidate import Trained

LEARNT_FROM = ("articles", "annotations")


@best_effort("the lineage was not told")
def ingested() -> None:
    """Tell that articles were taken in."""
    _tell(written=LEARNT_FROM)


@best_effort("the lineage was not told")
def trained(report: Trained) -> None:
    """Tell what a model was made of."""
    _tell(read=LEARNT_FROM, written=[Path(report.artefact)])


@best_effort("the lineage was not told")
def labelled(report: LabellingReport) -> None:
    """Tell which model predicted."""
    _tell(read=["articles"], model=report.model, written=["predictions"])


def _tell(*, read: Iterable[str] = (), written: Iterable[str | Path] = (), model: str | None = None) -> None:
    """Leave word of tables and models' folders with the running task; `model` is the name of one that was read."""
    collector = _collector()
    if collector is None:
        return
    from classifier.pipeline.promotion import model_details
    from classifier_airflow.workspace import workspace

    place = workspace()
    folders = [Path(model_details.describe_model(place, model).artefact)] if model else []
    for one in (*read, *folders):
        collector.add_input_asset(place, uri=_address(place.database, one))
    for one in written:
        collector.add_output_asset(place, uri=_address(place.database, one))


def _collector() -> Any:
    """Return what gathers lineage in this process, None where nobody wants it: to make one takes seconds."""
    try:
        from airflow.providers.openlineage import conf
    except ImportError:
        return None
    if conf.is_disabled():
        return None
    from airflow.sdk.lineage import get_hook_lineage_collector

    return get_hook_lineage_collector()


def _address(database: Engine, what: str | Path) -> str:
    """Return the address that the providers of Postgres and of files make OpenLineage's names of."""
    if isinstance(what, Path):
        return what.resolve().as_uri()
    from sqlalchemy import inspect

    url = database.url
    host = url.host or "localhost"  # on a socket, the host is a folder of this machine
    return f"postgres://{host}:{url.port or 5432}/{url.database}/{inspect(database).default_schema_name}/{what}"
