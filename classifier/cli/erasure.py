"""`classifier erase`: erase articles everywhere, for example after a data-protection request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from classifier.cli import progress, render
from classifier.cli.common import Json, workspace
from classifier.exceptions import ErasureError
from classifier.plurals import plural

if TYPE_CHECKING:
    from classifier.pipeline.erasure.erase import Erased


def erase(
    id: Annotated[list[str] | None, typer.Option("--id", help="An article's id; may be repeated.")] = None,  # noqa: A002
    source: Annotated[
        str | None, typer.Option(help="All articles of this source; with --id, only those with the ids.")
    ] = None,
    query: Annotated[
        Path | None, typer.Option(help="File with a SELECT of article ids (articles.id), run without a right to write.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="File of --export: erase its articles again, in a restored database.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the digests of all erased articles to this file, for --replay.")
    ] = None,
    rewrite: Annotated[
        bool | None,
        typer.Option(
            "--rewrite/--no-rewrite",
            help="Afterwards, write the tables into new files, so that no deleted row stays on the disk. Locks each "
            "table meanwhile. By default, only for the embedded Postgres.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase; by default, only show what would be erased.")] = False,
    json: Json = False,
) -> None:
    """Erase articles everywhere, and keep them from being ingested again. This cannot be undone.

    Example: `classifier erase --source news --id 4711 --yes`
    """
    from classifier.pipeline.erasure import replay as replaying

    named = bool(id) or source is not None or query is not None
    if sum((named, replay is not None, export is not None)) > 1:
        raise ErasureError("--export and --replay: cannot be combined with each other, --id, --source or --query")
    if export is not None:
        render.show(replaying.export_digests(workspace(), export), json, title="Exported")
        return
    with progress.counter("articles", quiet=json) as on_articles:
        if replay is not None:
            report = replaying.replay(workspace(), replay, yes=yes, rewrite=rewrite, on_articles=on_articles)
        else:
            from classifier.pipeline.erasure.erase import erase as erase_articles
            from classifier.pipeline.erasure.selection import Selection

            selection = Selection(tuple(id or ()), source, query)
            report = erase_articles(workspace(), selection, yes=yes, rewrite=rewrite, on_articles=on_articles)
    _show(report, json)


def _show(report: Erased, as_json: bool) -> None:
    """Print what was or would be erased, and what remains to be done."""
    if as_json:
        render.show(report, as_json)
        return
    if report.before:
        render.STDOUT.print("Already erased; nothing is left to erase.")
        return
    counts = {name: count for name, count in report.rows.items() if count}
    title = "Erased" if report.done else "Would be erased"
    models = ", ".join(report.models) or "none"
    render.show({"articles": report.articles, **counts, "models trained on them": models}, as_json=False, title=title)
    if report.models:
        render.warn("the weights of these models cannot be rewritten; train a new model, then prune these")
    if report.models_not_found:
        names = ", ".join(report.models_not_found)
        render.warn(f"the files of {names} are not on this machine: run the command where they are, or prune them")
    if report.checkpoints:
        trainings = plural(report.checkpoints, "unfinished training")
        render.STDOUT.print(f"Deleted the checkpoints of {trainings}.")
    if not report.done:
        render.STDOUT.print("Nothing was erased. Add --yes to erase; this cannot be undone.")
    else:
        render.STDOUT.print(f"Receipt {report.receipt}. Backups, exports and logs: see docs/how-to/erase.md.")
