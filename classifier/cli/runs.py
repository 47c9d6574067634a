"""`classifier runs`: list ingests, and undo one."""

from __future__ import annotations

from typing import Annotated

import typer

from classifier.cli import render
from classifier.cli.common import Json, workspace
from classifier.plurals import plural, verb

app = typer.Typer(help="List ingests, or undo one.", invoke_without_command=True)

_NOT_DONE = "Nothing was changed. Add --yes to undo the run."
_DONE = "Files and feeds that were read are not read again until they change; to read a file again, ingest it by name."


@app.callback()
def list_runs(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="Only the runs of this source, as the list names it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of runs, the newest.")] = 20,
    json: Json = False,
) -> None:
    """List the ingests with their counts, newest first, if no command is given."""
    if context.invoked_subcommand is not None:
        return
    from classifier.pipeline.ingest import undo

    columns = {"run": "id", "source": "source", "began": "started_at", "state": "state"}
    rows = undo.list_runs(workspace(), source=source, limit=limit)
    empty = "none yet; run: classifier ingest FILES, or classifier sources ingest"
    render.print_list(rows, json, "Ingests", {**columns, **{name: name for name in render.COUNTS}}, empty=empty)


@app.command("undo")
def undo_run(
    run: Annotated[int, typer.Argument(help="Number of the run, as the list shows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Undo it; by default, only show what would be undone.")] = False,
    json: Json = False,
) -> None:
    """Take back what one ingest brought, if nothing newer builds on it: articles, categories and rejected rows.

    Texts that it changed stay, because the former texts are not kept; their articles are listed.
    """
    from classifier.pipeline.ingest import undo

    report = undo.undo_run(workspace(), run, yes=yes)
    if json:
        render.show(report, json)
        return
    values = {"articles": report.articles, "categories of other articles": report.categories}
    values |= {"rejected rows": report.rejected_rows, "enqueued for a label": report.enqueued}
    render.show(values, as_json=False, title="Undone" if report.done else "Would be undone")
    if report.changed_kept:
        named = ", ".join(f"{article.source} {article.external_id}" for article in report.changed)
        more = " …" if report.changed_kept > len(report.changed) else ""
        kept = f"{plural(report.changed_kept, 'article')} {verb(report.changed_kept, 'keeps', 'keep')}"
        render.warn(f"{kept} the text that the run brought: {named}{more}")
    render.STDOUT.print(_DONE if report.done else _NOT_DONE)
