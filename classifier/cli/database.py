"""`classifier db`: the database's tables and roles."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from classifier import settings
from classifier.cli import render
from classifier.cli.common import Json, workspace

if TYPE_CHECKING:
    from classifier.pipeline.database.access import ServedUrls

app = typer.Typer(
    help="The database: create or upgrade its tables, create its roles, open it in other programs.",
    no_args_is_help=True,
)


@app.command()
def upgrade(json: Json = False) -> None:
    """Create the tables, or upgrade them to this version. Running it again changes nothing."""
    from classifier.pipeline.database import upgrade

    render.show({"version": upgrade.upgrade_schema(workspace(create=True))}, json, title="Database")


@app.command()
def roles(json: Json = False) -> None:
    """Create the roles DATABASE_pipeline and DATABASE_analyst, or update their passwords and permissions.

    The pipeline's role reads and writes rows, but cannot change tables. The analyst's role only reads, and cannot read
    the texts of articles. CLASSIFIER_PIPELINE_PASSWORD and CLASSIFIER_ANALYST_PASSWORD set the passwords; by default,
    they stay unchanged. Run this command as the owner of the tables.
    """
    from classifier.pipeline.database import roles

    result = roles.create_roles(workspace())
    render.show({role.name: _describe(role.created, role.password_set) for role in result}, json, title="Roles")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def shell(context: typer.Context) -> None:
    """Open the database in psql. Further arguments are psql's.

    Example: `classifier db shell -c "SELECT label, count(*) FROM article_labels GROUP BY label"`
    """
    from classifier.pipeline.database import access

    sys.exit(access.open_shell(settings.load(), context.args))


@app.command()
def url(json: Json = False) -> None:
    """Print the database's URL, with its password, for other programs. Nothing is started.

    The embedded Postgres has a URL only while a command uses it, such as `classifier db serve`.
    """
    from classifier.pipeline.database import access

    address = access.find_url(settings.load())
    if json:
        render.print_json({"url": address})
    else:
        typer.echo(address)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 chooses a free port.")] = 5433,
    json: Json = False,
) -> None:
    """Keep the embedded Postgres running until Ctrl-C, and print URLs for other programs on this machine.

    The first URL has all rights and no password, and is for programs of the same user. The second URL is for programs
    that need TCP, such as DBeaver: its role reads labels, but not the texts of articles. CLASSIFIER_ANALYST_PASSWORD
    sets its password; by default, each start has a new one.
    """
    from classifier.pipeline.database import access

    access.refuse_other_server(settings.load())

    def on_ready(urls: ServedUrls) -> None:
        if json:
            render.print_json({"socket": urls.socket, "tcp": urls.tcp})
        else:
            typer.echo(f"{urls.socket}\n{urls.tcp}\nServing both URLs until Ctrl-C.")
        sys.stdout.flush()

    access.serve(workspace(), port=port, on_ready=on_ready)


def _describe(created: bool, password_set: bool) -> str:
    return f"{'created' if created else 'exists'}, password {'set' if password_set else 'unchanged'}"
