"""Define the commands `classifier models …`."""

from __future__ import annotations

from typing import Annotated

import typer

from classifier.cli import render, render_models
from classifier.cli.common import Json, TargetPrecision, checked_precision, of_task
from classifier.cli.common import workspace as _workspace

app = typer.Typer(help="Models: list them, show one, import one.", invoke_without_command=True)


@app.callback()
@of_task
def models(context: typer.Context, json: Json = False) -> None:
    """List all models, newest first."""
    if context.invoked_subcommand is None:
        from classifier.pipeline.monitoring import status

        render.models(status.models(_workspace()), json)


@app.command()
@of_task
def show(
    model: Annotated[
        str | None, typer.Argument(help='A model\'s name, or "champion"; by default, the newest model.')
    ] = None,
    json: Json = False,
) -> None:
    """Show a model's training, its metrics and the decisions on it."""
    from classifier.pipeline.promotion import model_details

    render_models.print_model(model_details.describe_model(_workspace(), model), json)


@app.command("import")
@of_task
def import_(
    source: Annotated[
        str, typer.Argument(help="Directory, or Hugging Face id, of a fine-tuned DistilBERT classifier.")
    ],
    categories: Annotated[
        str | None,
        typer.Option(
            help="Category names in the order of the outputs, separated by commas; by default, the configuration's."
        ),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Maximum number of word pieces of a text; by default, the tokenizer's.")
    ] = None,
    titles: Annotated[bool, typer.Option(help="Whether the model reads an article's title before its text.")] = True,
    target_precision: TargetPrecision = None,
    json: Json = False,
) -> None:
    """Import a model that was trained elsewhere as a candidate, which can then be evaluated and promoted.

    It must be a Hugging Face DistilBertForSequenceClassification with safetensors and a tokenizer.

    Example: `classifier models import ./my-finetuned-distilbert`
    """
    from classifier.pipeline.training import model_import

    report = model_import.import_model(
        _workspace(),
        source,
        categories=categories,
        max_length=max_length,
        read_title=titles,
        target_precision=checked_precision(target_precision),
    )
    render.show(report, json, title="Imported")
