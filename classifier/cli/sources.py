"""The commands of declared sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classifier import settings
from classifier.cli import progress, render
from classifier.cli.common import Json, workspace
from classifier.exceptions import DatabaseUnavailableError, SourceError, UserError

if TYPE_CHECKING:
    from classifier.ingest.source_declarations import DeclaredSource, SqlSource
    from classifier.pipeline.monitoring.status import RunStatus
    from classifier.workspace import Workspace

app = typer.Typer(help="Sources declared in sources.toml: files, feeds and queries.", no_args_is_help=True)

File = Annotated[
    Path | None, typer.Option("--file", help="The declaring file; CLASSIFIER_SOURCES or sources.toml without one.")
]
Names = Annotated[list[str] | None, typer.Argument(help="Names of sources; all without one.", show_default=False)]
Group = Annotated[str | None, typer.Option(help="Only the sources of a schedule group.")]


@app.command()
def check(names: Names = None, file: File = None, group: Group = None, json: Json = False) -> None:
    """Try each source, and say what a run would take in; nothing is written.

    Example: `classifier sources check --file sources.toml`
    """
    from classifier.pipeline.ingest import declared_sources

    chosen = declared_sources.choose_sources(load_declared(file), names or (), group)
    place = workspace()
    found = [declared_sources.check_source(place, source, resolve_database_url) for source in chosen]
    render.checked(found, json)
    _fail_if_any({one.name: one.problem for one in found if one.problem}, len(found))


@app.command()
def ingest(names: Names = None, file: File = None, group: Group = None, json: Json = False) -> None:
    """Take in what of each source has not been read yet. One that fails does not stop the others.

    Example: `classifier sources ingest --group daily`
    """
    from classifier.pipeline.ingest import declared_sources
    from classifier.pipeline.monitoring import status

    chosen = declared_sources.choose_sources(load_declared(file), names or (), group)
    place = workspace()
    with progress.counter("rows", quiet=json) as on_rows:
        problems = {source.name: _problem(place, source, on_rows) for source in chosen}
    found: list[RunStatus] = [run for source in chosen for run in status.last_runs(place, source.name)]
    render.runs(found, json)
    _fail_if_any({name: problem for name, problem in problems.items() if problem}, len(chosen))


def load_declared(file: Path | None) -> dict[str, DeclaredSource]:
    """Read the declaring file."""
    from classifier.ingest import source_declarations

    return source_declarations.load_sources(file or settings.load().sources or Path("sources.toml"))


def resolve_database_url(source: SqlSource) -> str:
    """Return the URL of a query's database: its own, or one of the environment, where Airflow's connections are too.

    Raises:
        SourceError: the environment has none.
    """
    if source.url is not None:
        return source.url
    name = source.url_from or f"AIRFLOW_CONN_{(source.connection or '').upper()}"
    url = settings.variable(name)
    if not url:
        raise SourceError(f"source {source.name!r}: the environment has no {name}; set it to the database's URL")
    return url


def _problem(place: Workspace, source: DeclaredSource, on_rows: Callable[[int], None]) -> str | None:
    from classifier.pipeline.ingest import declared_sources

    try:
        declared_sources.ingest_source(place, source, resolve_database_url, on_rows=on_rows)
    except DatabaseUnavailableError:
        raise
    except UserError as error:
        return str(error)
    return None


def _fail_if_any(problems: dict[str, str | None], total: int) -> None:
    if problems:
        lines = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        raise SourceError(f"{len(problems)} of {total} sources failed: {lines}")
