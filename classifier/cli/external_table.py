"""`classifier label-table`: label an external table."""

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
    key: Annotated[
        list[str], typer.Option(help="Column of the key, unique and never null; repeat it for each column.")
    ],
    text: Annotated[str, typer.Option(help="Column of the text.")],
    table: Annotated[
        str | None, typer.Option(help="Table to label: NAME or SCHEMA.NAME. Give this or --query.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="SELECT whose rows to label, instead of a table; needs --out.")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Table of the labels; by default, TABLE_labels.")] = None,
    out_schema: Annotated[
        str | None, typer.Option(help="Schema of the table of the labels; by default, the table's own.")
    ] = None,
    out_url: Annotated[
        str | None,
        typer.Option(help="URL, or variable that holds it, of another database for the labels; by default, the same."),
    ] = None,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="Read all rows, to find changed texts; by default, only rows without a label."),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many rows; by default, label all.")] = None,
    page_size: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum rows in one transaction.")] = 512,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Label a table of any database, and store the labels in the same database or in another. Killing it loses nothing.

    Rows that have a label of the champion are skipped. A URL with a password must be in an environment variable, whose
    name is passed.

    Example: `classifier label-table --url CMS_URL --table news --key id --text body`
    """
    from classifier.external_table.definition import ExternalTable
    from classifier.pipeline.labelling import external_table

    if (table is None) == (query is None):
        raise SettingsError("label-table: give either --table or --query")
    if query is not None and out is None:
        raise SettingsError("label-table: --query needs --out, the table of the labels")
    source = ExternalTable(tuple(key), text, table, query, out, out_schema)
    with progress.bar("labelling", quiet=json) as (on_start, on_page):
        report = external_table.label_external_table(
            workspace(),
            address(url),
            source,
            out_address=None if out_url is None else address(out_url, "--out-url"),
            refresh=refresh,
            limit=limit,
            page_size=page_size,
            engine=engine_name(engine),
            on_start=on_start,
            on_page=on_page,
        )
    render.show(report, json, title="Labelled", rate=round(report.rows_per_second, 1))


def address(url: str, option: str = "--url") -> str:
    """Return a URL, or the URL that the environment variable of that name holds.

    Raises:
        SettingsError: it is neither, or it shows a password to the machine's other users. The message does not repeat
            the value, which may hold a password.
    """
    if "://" in url:
        from classifier.store import urls

        if urls.has_password(url):
            problem = "must not hold a password, which the list of processes shows"
            raise SettingsError(f"{option}: {problem}; put the URL into an environment variable and pass its name")
        return url
    if not url.isidentifier():
        raise SettingsError(f"{option}: must be a SQLAlchemy URL or the name of an environment variable")
    value = settings.variable(url)
    if not value:
        raise SettingsError(f"{option}: the environment has no {url}; set it to the database's URL")
    return value
