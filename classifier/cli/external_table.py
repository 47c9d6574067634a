"""The command that labels a table of the user's own."""

from __future__ import annotations

from typing import Annotated

import typer

from classifier import settings
from classifier.cli import progress, render
from classifier.cli.common import Engine, Json, engine_name, workspace
from classifier.exceptions import SettingsError


def label_table(
    url: Annotated[str, typer.Option(help="SQLAlchemy URL of the database, or an environment variable that has it.")],
    key: Annotated[str, typer.Option(help="Column that is unique and never null.")],
    text: Annotated[str, typer.Option(help="Column of the text.")],
    table: Annotated[str | None, typer.Option(help="Table to label: NAME or SCHEMA.NAME.")] = None,
    query: Annotated[str | None, typer.Option(help="SELECT to label instead of a table; needs --out.")] = None,
    out: Annotated[str | None, typer.Option(help="Table of the labels; TABLE_labels without one.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read all rows, for texts that have changed.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many rows.")] = None,
    page_size: Annotated[int, typer.Option(min=1, max=10_000, help="Rows in one transaction.")] = 512,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Label a table of yours, in any database, into a table beside it. Safe to kill and to run again.

    Rows that have a label of the champion are left alone. A password is best kept in an environment
    variable: `classifier label-table --url CMS_URL --table news --key id --text body`
    """
    from classifier.external_table.definition import ExternalTable
    from classifier.pipeline.labelling import external_table

    if (table is None) == (query is None):
        raise SettingsError("label-table: give either --table or --query")
    if query is not None and out is None:
        raise SettingsError("label-table: --query needs --out, the table of the labels")
    wanted = ExternalTable(key, text, table, query, out)
    with progress.bar("labelling", quiet=json) as (on_start, on_page):
        report = external_table.label_external_table(
            workspace(),
            address(url),
            wanted,
            refresh=refresh,
            limit=limit,
            page_size=page_size,
            engine=engine_name(engine),
            on_start=on_start,
            on_page=on_page,
        )
    render.show(report, json, title="Labelled", rate=round(report.rows_per_second, 1))


def address(url: str) -> str:
    """Return a URL, or what the variable of that name holds.

    Raises:
        SettingsError: it is neither; what may hold a password is not repeated.
    """
    if "://" in url:
        return url
    if not url.isidentifier():
        raise SettingsError("--url: neither a SQLAlchemy URL nor the name of an environment variable")
    found = settings.variable(url)
    if not found:
        raise SettingsError(f"--url: the environment has no {url}; set it to the database's URL")
    return found
