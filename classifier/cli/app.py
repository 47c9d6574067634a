"""The commands of `classifier`, in the order of the workflow.

Results go to standard output: a table, or one line of JSON with `--json`. Logs and progress go to standard error. Exit
code 2 with one line is an error that the user can fix, 1 a result that is no success, such as a model that was not
promoted; see `classifier.cli.endings`.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.logging import RichHandler
from rich.text import Text
from typer.core import TyperGroup

from classifier import settings
from classifier.cli import (
    categories,
    classification,
    database,
    dead_letters,
    drift,
    endings,
    erasure,
    examples,
    explanation,
    external_table,
    ingest_options,
    labels,
    models,
    progress,
    promotion,
    rejected_rows,
    render,
    render_models,
    render_status,
    review,
    runs,
    sources,
    splits,
    stored_annotations,
    tasks,
    training,
)
from classifier.cli.common import Engine, Json, checked_precision, engine_name, forget_task, of_task, to_utc
from classifier.cli.common import workspace as open_workspace


class WorkflowGroup(TyperGroup):
    """A group whose help lists the commands in the order of `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the order is fixed
        """Return the names of the commands, in the order of the workflow."""
        return [name for commands in COMMANDS.values() for name in commands]


app = typer.Typer(
    cls=WorkflowGroup,
    help="Label the articles of a Postgres database: ingest, train, evaluate, promote, label.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a bug shows a plain traceback, never local variables with article texts
    rich_markup_mode="markdown",
)
encoders = typer.Typer(help="Convert pretrained encoders.", no_args_is_help=True)


def main() -> None:
    """Run the command line; an error of the user, a full disk or a signal becomes one line on standard error."""
    endings.run(app)


def _format_log_time(moment: datetime) -> Text:
    return Text(f"{moment.astimezone(UTC):%H:%M:%S} UTC")


def _print_version(requested: bool) -> None:
    if requested:
        from importlib import metadata

        render.STDOUT.print(f"classifier {metadata.version('article-classifier')}")
        raise typer.Exit


@app.callback()
def configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print the log to standard error.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback ends the command
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Configure logging, which the library itself never does, and name misspelt settings."""
    forget_task()
    for name, nearest in settings.unknown_variables():
        advice = f"did you mean {nearest}?" if nearest else "see docs/reference/settings.md"
        endings.warn(f"{name}: unknown setting; {advice}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    handler = RichHandler(
        console=progress.STDERR, show_path=False, rich_tracebacks=False, log_time_format=_format_log_time
    )
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("classifier").setLevel(logging.INFO if verbose else logging.WARNING)


def demo(
    leave: Annotated[bool, typer.Option("--exit", help="Stop Airflow at the end of the demo.")] = False,
    port: Annotated[int, typer.Option(help="Port of Airflow's UI; 0 chooses a free port.")] = 8080,
) -> None:
    """Run the whole workflow on real articles in a real Airflow, starting from an empty database."""
    from classifier.demo import story

    sys.exit(story.run_demo(settings.load(), leave=leave, port=port))


def ingest(
    files: ingest_options.Files,
    text: Annotated[str, typer.Option(help="Column of the text, or several that are joined: title,body.")] = "text",
    category: ingest_options.Category = None,
    separator: ingest_options.Separator = None,
    none_value: ingest_options.NoneValue = None,
    id: Annotated[  # noqa: A002
        str | None, typer.Option("--id", help="Column of the id; by default, the address, else the text's hash.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Column of the split: train, validation or test.")] = None,
    published_at: Annotated[str | None, typer.Option(help="Column of the publication time.")] = None,
    source: Annotated[str | None, typer.Option(help="Column of the source's name.")] = None,
    title: Annotated[str | None, typer.Option(help="Column of the title, which models read before the text.")] = None,
    url: Annotated[str | None, typer.Option(help="Column of the web address.")] = None,
    source_name: Annotated[
        str | None,
        typer.Option(
            help="Source of all rows; by default, each file's name without its suffix, after the folders that a "
            "wildcard stands for."
        ),
    ] = None,
    proportions: Annotated[str, typer.Option(help="Shares of train, validation and test.")] = "0.8,0.1,0.1",
    max_rejected: Annotated[
        float, typer.Option(help="Refuse a file if a larger share of its rows is invalid, from 0 to 1.")
    ] = 0.05,
    encoding: ingest_options.Encoding = None,
    delimiter: ingest_options.Delimiter = None,
    skip_lines: ingest_options.SkipLines = 0,
    no_header: ingest_options.NoHeader = False,
    column_names: ingest_options.ColumnNames = None,
    records: ingest_options.Records = None,
    split_folders: ingest_options.SplitFolders = False,
    date_format: ingest_options.DateFormat = None,
    strict_dates: ingest_options.StrictDates = False,
    anyway: ingest_options.Anyway = False,
    dry_run: ingest_options.DryRun = False,
    json: Json = False,
) -> None:
    """Ingest articles from files. Running it again on the same file changes nothing.

    Example: `classifier ingest bbc-text.csv --text text --category category`
    """
    from classifier.ingest.readers import Columns
    from classifier.ingest.splits import Proportions
    from classifier.pipeline.ingest import units

    file_format = ingest_options.FormatOptions(
        encoding, delimiter, skip_lines, no_header, column_names, records, split_folders, date_format, strict_dates,
        separator, none_value,
    ).check()  # fmt: skip
    only, of_tasks = ingest_options.category_columns(category or [], separator, none_value)
    columns = Columns(text, only, id, split, published_at, source, title, url, of_tasks)
    shares = Proportions.parse(proportions)
    options = units.IngestOptions(columns, source_name, shares, max_rejected, file_format, anyway)
    if dry_run:
        ingest_options.show_dry_run(files, options, json)
        return
    reports: list[units.IngestReport] = []
    try:
        with progress.counter("rows", quiet=json) as on_rows:
            units.ingest_files(open_workspace(), files, options, on_rows=on_rows, on_report=reports.append)
    finally:
        if reports:  # an error names the files that are missing
            render.show(sum(reports, units.IngestReport()), json, title="Ingested")


@encoders.command("import")
def encoder_import(
    source: Annotated[Path, typer.Argument(help="Directory of a BERT checkpoint in Hugging Face format.")],
    target: Annotated[Path, typer.Argument(help="Directory to write the DistilBERT encoder to.")],
    sha256: Annotated[
        str | None, typer.Option(help="Expected SHA-256 of the source's model.safetensors; by default not checked.")
    ] = None,
    json: Json = False,
) -> None:
    """Convert a BERT checkpoint that does not need token types to a DistilBERT encoder.

    Example: `classifier encoder import ./all-MiniLM-L6-v2 ./var/encoders/minilm`
    """
    from dataclasses import asdict

    from classifier.model import encoders

    render.show({"encoder": str(target), **asdict(encoders.import_bert(source, target, sha256=sha256))}, json)


def evaluate(
    model: Annotated[
        str | None, typer.Argument(help='A model\'s name, or "champion"; by default, the newest model.')
    ] = None,
    target_precision: Annotated[
        float | None,
        typer.Option(
            help="Re-tune the abstention threshold for this precision, from 0 to 1, on the validation split; "
            "0 disables it. By default, the threshold stays."
        ),
    ] = None,
    back_off: Annotated[
        bool | None,
        typer.Option(
            "--back-off/--no-back-off",
            help="With --target-precision: answer a parent of a category where only the parent reaches the threshold. "
            "The default is CLASSIFIER_BACK_OFF.",
        ),
    ] = None,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Evaluate a model on the test split, and compare it with a TF-IDF baseline.

    Example: `classifier evaluate champion`
    """
    from classifier.pipeline.promotion import evaluation

    precision = checked_precision(target_precision)
    report = evaluation.evaluate(
        open_workspace(), model, engine=engine_name(engine), target_precision=precision, back_off=back_off
    )
    render_models.print_evaluation(report, json)


def label(
    limit: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many articles; by default, label all.")
    ] = None,
    backfill: Annotated[
        bool | None,
        typer.Option(
            "--backfill/--no-backfill",
            help="Label only the articles that a new champion relabels, or only new and changed articles. By default, "
            "both: new and changed articles first.",
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="Label only the articles of this source; by default, of all sources.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Label only articles published at or after this time (UTC). If the publication time is unknown, the "
            "time of the ingest counts."
        ),
    ] = None,
    max_rate: Annotated[
        float | None,
        typer.Option(
            min=0.01, help="Maximum articles a second, to limit the load on the database; by default, no maximum."
        ),
    ] = None,
    page_size: Annotated[int, typer.Option(min=1, help="Maximum articles in one transaction.")] = 2048,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes on this machine; they share its cores.")] = 1,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Label the articles in the queue. Any number of commands may run at once; killing one loses nothing.

    With several workers, each gets its share of `--limit` and `--max-rate`. If a worker dies, the others continue, and
    the exit code is 1.
    """
    from classifier.store.labelling_queue import Selection

    options: dict[str, Any] = {
        "limit": limit,
        "page_size": page_size,
        "engine": engine_name(engine),
        "selection": Selection(backfill is not True, backfill is not False, source, to_utc(since)),
        "max_rate": max_rate,
    }
    report = _label_queue(workers, options, quiet=json)
    render.show(report, json, title="Labelled", rate=round(report.articles_per_second, 1))
    if workers > 1 and report.failed:
        raise typer.Exit(1)


def _label_queue(workers: int, options: dict[str, Any], *, quiet: bool) -> Any:
    """Label in this process, or in several worker processes, with a progress bar."""
    from classifier.pipeline.labelling import queue, worker_processes

    with progress.bar("labelling", quiet=quiet) as (on_start, on_page):
        callbacks: dict[str, Any] = {"on_start": on_start, "on_page": on_page}
        if workers == 1:
            return queue.label_queue(open_workspace(), **options, **callbacks)
        return worker_processes.label_in_processes(open_workspace(), workers, options, **callbacks)


def status(
    exact: Annotated[
        bool, typer.Option("--exact", help="Count every article; by default, large tables are estimated.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the splits, the labels, the backlog with its rate and remaining time, the champion and the last ingests."""
    from classifier.pipeline.monitoring import status

    render_status.print_status(status.read_status(open_workspace(), exact=exact), json)


COMMANDS: dict[str, dict[str, Any]] = {
    "Get started": {"demo": demo, "db": database.app, "tasks": tasks.app, "categories": categories.app},
    "Ingest articles": {
        "ingest": ingest,
        "sources": sources.app,
        "rejected": rejected_rows.app,
        "splits": splits.app,
        "runs": runs.app,
        "erase": erasure.erase,
    },
    "Train models": {
        "train": training.train,
        "tune": training.tune,
        "recipes": training.recipes,
        "encoder": encoders,
    },
    "Evaluate and promote models": {
        "evaluate": evaluate,
        "mistakes": promotion.mistakes,
        "report": promotion.report,
        "examples": examples.app,
        "gate": promotion.gate,
        "promote": promotion.promote,
        "rollback": promotion.rollback,
        "promotions": promotion.promotions,
        "models": models.app,
        "prune": promotion.prune,
    },
    "Label and review articles": {
        "classify": classification.classify,
        "explain": explanation.explain,
        "label": label,
        "export": labels.export,
        "dead-letters": dead_letters.app,
        "label-table": external_table.label_table,
        "review": review.app,
        "annotations": stored_annotations.app,
    },
    "Monitor": {"status": status, "drift": drift.drift},
}
"""The commands by the panel of the help that lists them, in the order of the workflow."""

WITHOUT_TASK = {"demo", "erase", "recipes"}
"""Commands that are not about one task."""

for _panel, _commands in COMMANDS.items():
    for _name, _command in _commands.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name, rich_help_panel=_panel)
        else:
            _function = _command if _name in WITHOUT_TASK else of_task(_command)
            app.command(_name, rich_help_panel=_panel)(_function)
