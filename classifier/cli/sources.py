"""`classifier sources`: check and ingest declared sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classifier import settings
from classifier.cli import progress, render
from classifier.cli.common import Json, of_task
from classifier.cli.common import workspace as open_workspace
from classifier.exceptions import DatabaseUnavailableError, SourceError, UserError

if TYPE_CHECKING:
    from classifier.ingest.source_declarations import DeclaredSource, SqlSource
    from classifier.pipeline.monitoring.status import RunStatus
    from classifier.workspace import Workspace

app = typer.Typer(help="Check and ingest the sources that sources.toml declares.", no_args_is_help=True)

File = Annotated[
    Path | None,
    typer.Option("--file", help="The file that declares the sources; by default, CLASSIFIER_SOURCES or sources.toml."),
]
Names = Annotated[list[str] | None, typer.Argument(help="Names of sources; by default, all.", show_default=False)]
Group = Annotated[str | None, typer.Option(help="Only the sources of this group; by default, of all groups.")]


@app.command()
@of_task
def check(names: Names = None, file: File = None, group: Group = None, json: Json = False) -> None:
    """Read each source, and show what a run would ingest. Nothing is written.

    Example: `classifier sources check --file sources.toml`
    """
    from classifier.pipeline.ingest import declared_sources

    sources = declared_sources.choose_sources(load_declared(file), names or (), group)
    workspace = open_workspace()
    checks = [declared_sources.check_source(workspace, source, resolve_database_url) for source in sources]
    render.checked_sources(checks, json)
    _fail_if_any({check.name: check.problem for check in checks if check.problem}, len(checks))


@app.command()
@of_task
def ingest(names: Names = None, file: File = None, group: Group = None, json: Json = False) -> None:
    """Ingest the unread part of each source. A source that fails does not stop the others.

    Example: `classifier sources ingest --group daily`
    """
    from classifier.pipeline.ingest import declared_sources
    from classifier.pipeline.monitoring import status

    sources = declared_sources.choose_sources(load_declared(file), names or (), group)
    workspace = open_workspace()
    with progress.counter("rows", quiet=json) as on_rows:
        problems = {source.name: _ingest_source(workspace, source, on_rows) for source in sources}
    runs: list[RunStatus] = [run for source in sources for run in status.last_runs(workspace, source.name)]
    render.runs(runs, json)
    _fail_if_any({name: problem for name, problem in problems.items() if problem}, len(sources))


def load_declared(file: Path | None) -> dict[str, DeclaredSource]:
    """Return the sources that a file declares; by default, the file of the settings."""
    from classifier.ingest import source_declarations

    return source_declarations.load_sources(file or settings.load().sources or Path("sources.toml"))


def resolve_database_url(source: SqlSource) -> str:
    """Return the URL of a query's database: its own, or that of its environment variable or Airflow connection.

    Raises:
        SourceError: the environment variable is not set.
    """
    if source.url is not None:
        return source.url
    name = source.url_from or f"AIRFLOW_CONN_{(source.connection or '').upper()}"
    url = settings.variable(name)
    if not url:
        raise SourceError(
            f"source {source.name!r}: environment variable {name} not found; set it to the database's URL"
        )
    return url


def _ingest_source(workspace: Workspace, source: DeclaredSource, on_rows: Callable[[int], None]) -> str | None:
    """Ingest a source, and return the line of its error, if any."""
    from classifier.pipeline.ingest import declared_sources

    try:
        declared_sources.ingest_source(workspace, source, resolve_database_url, on_rows=on_rows)
    except DatabaseUnavailableError:
        raise
    except UserError as error:
        return str(error)
    return None


def _fail_if_any(problems: dict[str, str | None], total: int) -> None:
    if problems:
        lines = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        raise SourceError(f"{len(problems)} of {total} sources failed: {lines}")
