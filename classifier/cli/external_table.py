"""The command that labels an external table."""

from __future__ import annotations

from typing import Annotated

import typer

from classifier import settings
from classifier.cli import progress, render
from classifier.cli.common import Engine, Json, engine_name, workspace
from classifier.exceptions import SettingsError


def label_table(
    url: Annotated[
        str, typer.Option(help="SQLAlchemy URL of the database, or the name of an environment variable that holds it.")
    ],
    key: Annotated[str, typer.Option(help="Key column: unique and never null.")],
    text: Annotated[str, typer.Option(help="Text column.")],
    table: Annotated[str | None, typer.Option(help="Table to label: NAME or SCHEMA.NAME.")] = None,
    query: Annotated[str | None, typer.Option(help="SELECT to label instead of a table; needs --out.")] = None,
    out: Annotated[str | None, typer.Option(help="Table of the labels. Default: TABLE_labels.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Read all rows, to find texts that have changed.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of rows to label.")] = None,
    page_size: Annotated[int, typer.Option(min=1, max=10_000, help="Rows in one transaction.")] = 512,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Label a table of any database, into a table in the same database. It is safe to kill and to run again.

    Rows that have a label of the champion are skipped. Keep a password in an environment variable:
    `classifier label-table --url CMS_URL --table news --key id --text body`
    """
    from classifier.external_table.definition import ExternalTable
    from classifier.pipeline.labelling import external_table

    if (table is None) == (query is None):
        raise SettingsError("label-table: give either --table or --query")
    if query is not None and out is None:
        raise SettingsError("label-table: --query needs --out, the table of the labels")
    source = ExternalTable(key, text, table, query, out)
    with progress.bar("labelling", quiet=json) as (on_start, on_page):
        report = external_table.label_external_table(
            workspace(),
            address(url),
            source,
            refresh=refresh,
            limit=limit,
            page_size=page_size,
            engine=engine_name(engine),
            on_start=on_start,
            on_page=on_page,
        )
    render.show(report, json, title="Labelled", rate=round(report.rows_per_second, 1))


def address(url: str) -> str:
    """Return a URL, or the URL that the environment variable of that name holds.

    Raises:
        SettingsError: it is neither. The message does not repeat the value, which may hold a password.
    """
    if "://" in url:
        return url
    if not url.isidentifier():
        raise SettingsError("--url: must be a SQLAlchemy URL or the name of an environment variable")
    value = settings.variable(url)
    if not value:
        raise SettingsError(f"--url: the environment has no {url}; set it to the database's URL")
    return value
