"""Report to OpenLineage which tables and models a task read and wrote, if its provider is installed and enabled.

The lineage leads from articles and annotations to a model's folder, and from there to the predictions. The names are
OpenLineage's own for Postgres and files, so the lineage of other tools on the same database connects to it.
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
    from classifier_airflow.tasks_of_run import ChosenTask

TRAINING_TABLES = ("articles", "annotations")


@best_effort("cannot report the lineage")
def report_ingest() -> None:
    """Report that articles were ingested."""
    _report(None, written=TRAINING_TABLES)


@best_effort("cannot report the lineage")
def report_training(report: Trained, chosen: ChosenTask | None = None) -> None:
    """Report what a model was trained on."""
    _report(chosen, read=TRAINING_TABLES, written=[Path(report.artefact)])


@best_effort("cannot report the lineage")
def report_labelling(report: LabellingReport, chosen: ChosenTask | None = None) -> None:
    """Report which model wrote predictions."""
    _report(chosen, read=["articles"], model=report.model, written=["predictions"])


def _report(
    chosen: ChosenTask | None,
    *,
    read: Iterable[str] = (),
    written: Iterable[str | Path] = (),
    model: str | None = None,
) -> None:
    """Add tables and models' folders to the running task; `model` is the name of a model that was read."""
    collector = _collector()
    if collector is None:
        return
    from classifier.pipeline.promotion import model_details
    from classifier_airflow.workspace import workspace

    opened = workspace(chosen)
    folders = [Path(model_details.describe_model(opened, model).artefact)] if model else []
    for asset in (*read, *folders):
        collector.add_input_asset(opened, uri=_uri(opened.database, asset))
    for asset in written:
        collector.add_output_asset(opened, uri=_uri(opened.database, asset))


def _collector() -> Any:
    """Return the lineage collector of this process; None if OpenLineage is off, since creating one takes seconds."""
    try:
        from airflow.providers.openlineage import conf
    except ImportError:
        return None
    if conf.is_disabled():
        return None
    from airflow.sdk.lineage import get_hook_lineage_collector

    return get_hook_lineage_collector()


def _uri(database: Engine, asset: str | Path) -> str:
    """Return the URI from which the providers of Postgres and of files derive OpenLineage's names."""
    if isinstance(asset, Path):
        return asset.resolve().as_uri()
    from sqlalchemy import inspect

    url = database.url
    host = url.host or "localhost"  # on a socket, the host is a folder of this machine
    return f"postgres://{host}:{url.port or 5432}/{url.database}/{inspect(database).default_schema_name}/{asset}"
