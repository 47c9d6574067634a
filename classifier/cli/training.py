"""Define the commands `train`, `tune` and `recipes`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from classifier.cli import progress, render
from classifier.cli.common import Json, TargetPrecision, checked_precision
from classifier.cli.common import workspace as _workspace

EncoderName = Annotated[str | None, typer.Option("--encoder", help="Encoder to start from: a hub id or a directory.")]
StartFrom = Annotated[
    str | None,
    typer.Option(
        "--from",
        help='Model to start from: its name, or "champion". While there is no champion, the encoder is used.',
    ),
]


def train(
    recipe: Annotated[str | None, typer.Option(help="Name or file of a recipe; see: classifier recipes.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Hyper-parameter that differs from the recipe, such as epochs=3; repeatable. "
            "See: classifier recipes --keys.",
        ),
    ] = None,
    encoder: EncoderName = None,
    start_from: StartFrom = None,
    min_new_annotations: Annotated[
        int, typer.Option(min=0, help="Skip if fewer annotations are new since the last model that was decided on.")
    ] = 0,
    target_precision: TargetPrecision = None,
    json: Json = False,
) -> None:
    """Train a candidate on the annotated articles of the train split.

    The recipe sets every hyper-parameter; --set overrides single ones. If a training of the same articles and recipe
    was interrupted, it resumes.

    Example: `classifier train --recipe bbc --set seed=1 --set epochs=3`
    """
    from classifier.pipeline.training import candidate
    from classifier.training.recipes import files, hyper_parameters

    chosen = files.load_recipe(recipe, **hyper_parameters.parse_assignments(changes or []))
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
    title = "Trained" if isinstance(report, candidate.Trained) else "Not trained"
    if json:
        render.print_json(asdict(report))
        return
    values = asdict(report)
    if untrained := values.pop("categories_without_train_articles", None):
        values["categories without train articles"] = ", ".join(f"{name} ({n:,})" for name, n in untrained.items())
    render.show(values, as_json=False, title=title)


def tune(
    trials: Annotated[int, typer.Option(help="Trials of the study, including those of other workers.")],
    recipe: Annotated[str | None, typer.Option(help="Recipe to improve; see: classifier recipes.")] = None,
    encoder: EncoderName = None,
    start_from: StartFrom = None,
    out: Annotated[
        Path | None, typer.Option(help="File of the best recipe.", show_default="CLASSIFIER_HOME/recipes/STUDY.toml")
    ] = None,
    json: Json = False,
) -> None:
    """Search for better hyper-parameters, and write the best as a recipe.

    Any number of workers share the trials by running the same command. If a worker is killed, the same command resumes
    its trial. The validation split decides; the test split is not read.

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


def recipes(
    keys: Annotated[bool, typer.Option("--keys", help="List every hyper-parameter with its default instead.")] = False,
    json: Json = False,
) -> None:
    """List the recipes of the project; each file gives a reason for every value.

    Example: `classifier recipes --keys`
    """
    from classifier.training.recipes import files, hyper_parameters

    if keys:
        render.hyper_parameters(hyper_parameters.describe_keys(), json)
    else:
        render.recipes(files.available(), json)
