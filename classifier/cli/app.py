"""The commands.

Results go to standard output, as a table for people or with `--json` as one line of JSON; logs and
progress go to standard error. Exit code 2 and one line mean that the user can mend it.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from classifier import settings
from classifier.cli import (
    database,
    dead_letters,
    drift,
    external_table,
    models,
    progress,
    promotion,
    rejected_rows,
    render,
    review,
    sources,
    splits,
    training,
)
from classifier.cli.common import Engine, Json, checked_precision, engine_name
from classifier.cli.common import workspace as _workspace
from classifier.exceptions import SettingsError, UserError

app = typer.Typer(
    help="Keep a database of articles labelled: ingest, train, evaluate, promote, label.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a bug shows a plain traceback, and never the locals with articles in them
    rich_markup_mode="markdown",
)
encoders = typer.Typer(help="Pretrained encoders.", no_args_is_help=True)
app.add_typer(database.app, name="db")
app.add_typer(encoders, name="encoder")
app.add_typer(sources.app, name="sources")
app.add_typer(rejected_rows.app, name="rejected")
app.add_typer(splits.app, name="splits")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(models.app, name="models")
app.add_typer(review.app, name="review")
app.command()(training.train)
app.command()(training.tune)
app.command()(training.recipes)
app.command()(drift.drift)
promotion.add_to(app)


def main() -> None:
    """Run the command line; a `UserError` becomes one line on standard error and exit code 2."""
    try:
        app()
    except UserError as error:
        line = " ".join(str(error).splitlines())
        Console(stderr=True, soft_wrap=True).print(Text.assemble(("error:", "red"), f" {line}"))
        sys.exit(2)


@app.callback()
def configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log as it is written.")] = False,
) -> None:
    """Set logging up; the library itself never does."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    handler = RichHandler(console=progress.STDERR, show_path=False, rich_tracebacks=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("classifier").setLevel(logging.INFO if verbose else logging.WARNING)


@encoders.command("import")
def encoder_import(
    source: Annotated[Path, typer.Argument(help="Directory of a BERT checkpoint in Hugging Face's format.")],
    target: Annotated[Path, typer.Argument(help="Directory to write the DistilBERT encoder to.")],
    sha256: Annotated[str | None, typer.Option(help="Expected hash of the source's model.safetensors.")] = None,
    json: Json = False,
) -> None:
    """Turn a BERT that has no need of token types into a DistilBERT encoder.

    Example: `classifier encoder import ./all-MiniLM-L6-v2 ./var/encoders/minilm`
    """
    from dataclasses import asdict

    from classifier.model import encoders

    render.show({"encoder": str(target), **asdict(encoders.import_bert(source, target, sha256=sha256))}, json)


@app.command()
def ingest(
    files: Annotated[str, typer.Argument(help="A path, or a glob in quotes: CSV, TSV, JSON Lines or Parquet.")],
    text: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    category: Annotated[str | None, typer.Option(help="Column of the category, kept as an annotation.")] = None,
    id: Annotated[str | None, typer.Option("--id", help="Column of the id; without one, the text's hash.")] = None,  # noqa: A002
    split: Annotated[str | None, typer.Option(help="Column of the split: train, validation or test.")] = None,
    published_at: Annotated[str | None, typer.Option(help="Column of the time of publication.")] = None,
    source: Annotated[str | None, typer.Option(help="Column of the source's name.")] = None,
    source_name: Annotated[str | None, typer.Option(help="One source for all; by default a file's name.")] = None,
    proportions: Annotated[str, typer.Option(help="Shares of train, validation and test.")] = "0.8,0.1,0.1",
    max_rejected: Annotated[float, typer.Option(help="Share of bad rows above which a file is refused.")] = 0.05,
    encoding: Annotated[str, typer.Option(help='Encoding of text files, or "auto" to have it recognised.')] = "utf-8",
    json: Json = False,
) -> None:
    """Take articles in. The same file twice changes nothing.

    Example: `classifier ingest bbc-text.csv --text text --category category`
    """
    from classifier.ingest import decoding
    from classifier.ingest.readers import Columns
    from classifier.ingest.splits import Proportions
    from classifier.pipeline.ingest import units

    columns = Columns(text, category, id, split, published_at, source)
    shares = Proportions.parse(proportions)
    if not decoding.is_known_encoding(encoding):
        raise SettingsError(f'encoding {encoding!r}: is not known; write one such as cp1252, or "auto"')
    with progress.counter("rows", quiet=json) as on_rows:
        report = units.ingest_files(
            _workspace(),
            files,
            columns,
            source=source_name,
            proportions=shares,
            max_rejected=max_rejected,
            encoding=encoding,
            on_rows=on_rows,
        )
    render.show(report, json, title="Ingested")


@app.command()
def evaluate(
    model: Annotated[str | None, typer.Option(help='A model\'s name or "champion"; the newest by default.')] = None,
    target_precision: Annotated[
        float | None,
        typer.Option(
            help="Choose anew, on the validation split, below which confidence the model abstains, so that its labels "
            "are as precise as this. 0: it never does. Without it, the threshold stays."
        ),
    ] = None,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Measure a model on the test split, beside the TF-IDF baseline."""
    from classifier.pipeline.promotion import evaluation

    wanted = checked_precision(target_precision)
    report = evaluation.evaluate(_workspace(), model, engine=engine_name(engine), target_precision=wanted)
    render.evaluation(report, json)


@app.command()
def label(
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many articles.")] = None,
    backfill: Annotated[
        bool | None,
        typer.Option(
            "--backfill/--no-backfill",
            help="Only what a new champion has to label again, or only new and changed articles. "
            "By default both, new ones first.",
        ),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only articles of one source.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only articles published since (UTC), or come, where that is not known.")
    ] = None,
    max_rate: Annotated[
        float | None,
        typer.Option(min=0.01, help="Articles a second at most, so that the database is left to others."),
    ] = None,
    page_size: Annotated[int, typer.Option(min=1, help="Articles in one transaction, at most.")] = 2048,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine, which share its cores.")] = 1,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """Label what waits for a label. Any number may run at once; killing one loses nothing.

    With several workers each has its share of `--limit` and `--max-rate`. If one of them dies the others go
    on, and the exit code is 1.
    """
    from classifier.pipeline.labelling import queue, worker_processes
    from classifier.store.labelling_queue import Selection

    options: dict[str, Any] = {
        "limit": limit,
        "page_size": page_size,
        "engine": engine_name(engine),
        "selection": Selection(backfill is not True, backfill is not False, source, since and _utc(since)),
        "max_rate": max_rate,
    }
    with progress.bar("labelling", quiet=json) as (on_start, on_page):
        told: dict[str, Any] = {"on_start": on_start, "on_page": on_page}
        report: Any = (
            queue.label_queue(_workspace(), **options, **told)
            if workers == 1
            else worker_processes.label_in_processes(_workspace(), workers, options, **told)
        )
    render.show(report, json, title="Labelled", rate=round(report.articles_per_second, 1))
    if workers > 1 and report.failed:
        raise typer.Exit(1)


app.command("label-table")(external_table.label_table)


@app.command()
def status(
    exact: Annotated[bool, typer.Option("--exact", help="Count every article, however many there are.")] = False,
    json: Json = False,
) -> None:
    """Show splits, labels, the backlog with its rate and the time left, the champion and the last ingests."""
    from classifier.pipeline.monitoring import status

    render.status(status.read_status(_workspace(), exact=exact), json)


@app.command()
def demo(
    leave: Annotated[bool, typer.Option("--exit", help="Stop by itself at the end.")] = False,
    port: Annotated[int, typer.Option(help="Port of the Airflow UI; 0 takes a free one.")] = 8080,
) -> None:
    """Show the whole workflow on real articles in a real Airflow, from nothing."""
    from classifier.demo import story

    sys.exit(story.run_demo(settings.load(), leave=leave, port=port))


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
