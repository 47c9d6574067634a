"""`classifier db`: the database's tables and roles."""

from __future__ import annotations

import typer

from classifier.cli import render
from classifier.cli.common import Json, workspace

app = typer.Typer(help="The database: create or upgrade its tables, create its roles.", no_args_is_help=True)


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


def _describe(created: bool, password_set: bool) -> str:
    return f"{'created' if created else 'exists'}, password {'set' if password_set else 'unchanged'}"
