"""`classifier db`: the database's tables and roles."""

from __future__ import annotations

import typer

from classifier.cli import render
from classifier.cli.common import Json, workspace

app = typer.Typer(help="The database's tables and roles.", no_args_is_help=True)


@app.command()
def upgrade(json: Json = False) -> None:
    """Create the tables, or bring them to this version. Safe to run again."""
    from classifier.pipeline.database import upgrade

    render.show({"version": upgrade.upgrade_schema(workspace())}, json, title="Database")


@app.command()
def roles(json: Json = False) -> None:
    """Create the roles DATABASE_pipeline and DATABASE_analyst, or set their passwords and rights anew.

    The first reads and writes what the pipeline needs and changes no table; the second only reads, and no texts.
    Passwords come from CLASSIFIER_PIPELINE_PASSWORD and CLASSIFIER_ANALYST_PASSWORD. Run it as the owner of the tables.
    """
    from classifier.pipeline.database import roles

    found = roles.create_roles(workspace())
    render.show({role.name: _done(role.created, role.password_set) for role in found}, json, title="Roles")


def _done(created: bool, password_set: bool) -> str:
    return f"{'created' if created else 'was there'}, password {'set' if password_set else 'as it was'}"
