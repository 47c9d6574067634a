"""The commands `train`, `tune` and `recipes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from classifier.cli import progress, render
from classifier.cli.common import Json, TargetPrecision, checked_precision
from classifier.cli.common import workspace as _workspace


def train(
    recipe: Annotated[str | None, typer.Option(help="A recipe's name or file; see: classifier recipes.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder to start from: a hub id or a directory.")] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help='Model to start from: its name, or "champion", or else the encoder.')
    ] = None,
    min_new_annotations: Annotated[
        int, typer.Option(min=0, help="Do not train where fewer have come since the last model was decided on.")
    ] = 0,
    epochs: Annotated[int | None, typer.Option(help="Passes over the train split; it may stop earlier.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Articles a step.")] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="Word pieces a step at most; 0 for no such bound.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak; 5e-5 suits DistilBERT-base, 2e-4 a small one.")
    ] = None,
    warmup: Annotated[float | None, typer.Option(help="Share of the steps before the peak.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="AdamW's.")] = None,
    dropout: Annotated[float | None, typer.Option(help="The encoder's.")] = None,
    masking: Annotated[float | None, typer.Option(help="Share of the word pieces hidden at each step.")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Word pieces after which a text is cut off, or of a chunk.")
    ] = None,
    long_articles: Annotated[
        str | None, typer.Option(help="truncate, or chunk: read on in chunks, whose mean logit by length counts.")
    ] = None,
    stride: Annotated[int | None, typer.Option(help="Word pieces from a chunk's beginning to the next one's.")] = None,
    max_chunks: Annotated[int | None, typer.Option(help="Chunks of an article at most; the rest is cut off.")] = None,
    patience: Annotated[int | None, typer.Option(help="Epochs without improvement before it stops.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all that is random.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, float32, mixed_bfloat16 or mixed_float16.")] = None,
    class_weights: Annotated[
        str | None, typer.Option(help="none, or balanced: each category counts the same, however rare.")
    ] = None,
    head: Annotated[str | None, typer.Option(help="How a new head starts: probe, fitted first, or random.")] = None,
    frozen_layers: Annotated[
        int | None, typer.Option(help="Layers from the bottom that stay as they are, the embeddings with them.")
    ] = None,
    layer_decay: Annotated[
        float | None, typer.Option(help="Learning rate of a layer as a share of the one above it; 1 for all alike.")
    ] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Share of the target for all categories.")] = None,
    ema_decay: Annotated[
        float | None, typer.Option(help="Keep the weights' moving average, which remembers this much a step.")
    ] = None,
    ensemble: Annotated[
        str | None,
        typer.Option(help="Who answers beside the network: linear, on words; style, to tell authors apart; or none."),
    ] = None,
    target_precision: TargetPrecision = None,
    json: Json = False,
) -> None:
    """Train a candidate on the annotated articles of the train split.

    The recipe gives every hyper-parameter; the options override it one by one.

    Example: `classifier train --recipe bbc --seed 1`
    """
    from classifier.pipeline.training import candidate
    from classifier.training.recipes import files

    chosen = files.load_recipe(
        recipe,
        epochs=epochs,
        batch_size=batch_size,
        batch_tokens=batch_tokens,
        learning_rate=learning_rate,
        warmup=warmup,
        weight_decay=weight_decay,
        dropout=dropout,
        masking=masking,
        max_length=max_length,
        long_articles=long_articles,
        stride=stride,
        max_chunks=max_chunks,
        patience=patience,
        seed=seed,
        precision=precision,
        class_weights=class_weights,
        head=head,
        frozen_layers=frozen_layers,
        layer_decay=layer_decay,
        label_smoothing=label_smoothing,
        ema_decay=ema_decay,
        ensemble=ensemble,
    )
    with progress.training(quiet=json) as on_progress:
        report = candidate.train(
            _workspace(),
            chosen,
            encoder_name=encoder,
            start_from=start_from,
            min_new_annotations=min_new_annotations,
            target_precision=checked_precision(target_precision),
            on_progress=on_progress,
        )
    render.show(report, json, title="Trained" if isinstance(report, candidate.Trained) else "Not trained")


def tune(
    trials: Annotated[int, typer.Option(help="Trials of the study, those of other workers among them.")],
    recipe: Annotated[str | None, typer.Option(help="Recipe to better; see: classifier recipes.")] = None,
    encoder: Annotated[str | None, typer.Option(help="Encoder to start from: a hub id or a directory.")] = None,
    start_from: Annotated[
        str | None, typer.Option("--from", help='Model to start from: its name, or "champion", or else the encoder.')
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File of the best recipe; below the home without.")] = None,
    json: Json = False,
) -> None:
    """Search for better hyper-parameters, and write the best as a recipe.

    Any number of workers share the trials by running the same command. Killed, it goes on with the same command.
    The validation split decides; the test split is not looked at.

    Example: `classifier tune --trials 20 --recipe bbc`
    """
    from classifier.pipeline.training import tuning
    from classifier.training.recipes import files

    with progress.bar("trials", quiet=json) as (on_start, on_trial):
        report = tuning.tune(
            _workspace(),
            files.load_recipe(recipe),
            trials=trials,
            encoder_name=encoder,
            start_from=start_from,
            out=out,
            on_start=on_start,
            on_trial=on_trial,
        )
    render.show(report, json, title="Tuned")


def recipes(json: Json = False) -> None:
    """List the recipes that come with the project; their files say why for each value."""
    from classifier.training.recipes import files

    render.recipes(files.available(), json)
