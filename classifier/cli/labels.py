"""Define the command `classifier export`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from classifier.cli import progress, render
from classifier.cli.common import Json, to_utc, workspace

TIMES = [
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
]
"""Forms of a time. Those of a label and of `next_changed_since` are among them."""


Exact = Annotated[
    bool,
    typer.Option(
        "--exact",
        help="Write each cell of a CSV unchanged. By default, a cell that a spreadsheet program would evaluate as a "
        "formula gets an apostrophe in front.",
    ),
]


def export(
    file: Annotated[
        str, typer.Argument(help="File to write: .csv, .jsonl or .parquet; by default, standard output.")
    ] = "-",
    source: Annotated[
        str | None, typer.Option(help="Export only the articles of this source; by default, of all sources.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=TIMES,
            help="Export only articles published at or after this time (UTC). If the publication time is unknown, the "
            "time of the ingest counts.",
            metavar="TIME",
        ),
    ] = None,
    changed_since: Annotated[
        datetime | None,
        typer.Option(
            formats=TIMES,
            help="Export only labels that changed at or after this time (UTC), and articles that lost theirs. The "
            "previous export printed the time to use.",
            metavar="TIME",
        ),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Add the articles' texts.")] = False,
    by_article: Annotated[
        bool,
        typer.Option(
            "--by-article",
            help="Write one row for each article and task, with its labels as a list; by default, one for each label.",
        ),
    ] = False,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(help="Format: csv, jsonl or parquet; by default, the file's suffix; CSV for standard output."),
    ] = None,
    exact: Exact = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file; by default, an existing file is refused.")
    ] = False,
    json: Json = False,
) -> None:
    """Write the labels, with all columns of the view article_labels, to a file or a pipe.

    If there are several tasks, the labels of all are written, or with --task those of one. With --by-article, the
    columns are those of the view article_label_sets.

    Example: `classifier export labels.parquet`
    """
    from classifier.pipeline.labelling import label_export
    from classifier.store.article_labels import LabelSelection

    selection = LabelSelection(None, source, to_utc(since), to_utc(changed_since), text, by_article)
    target = label_export.ExportTarget(file, format, overwrite, exact)
    with progress.counter("labels", quiet=json) as on_rows:
        report = label_export.export_labels(workspace(), selection, target, on_rows=on_rows)
    if target.path is None:
        moment = report.next_changed_since.strftime("%Y-%m-%dT%H:%M:%SZ")
        progress.STDERR.print(f"{report.labels:,} labels; next time: --changed-since {moment}", soft_wrap=True)
    else:
        render.show(report, json, title="Exported")
