"""`classifier examples`: check a model against the must-pass examples."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from classifier.cli import render
from classifier.cli.common import Engine, Json, engine_name, of_task, workspace
from classifier.exceptions import SourceError
from classifier.plurals import plural

if TYPE_CHECKING:
    from classifier.pipeline.promotion.example_checks import ExampleReport

app = typer.Typer(
    help="Check models against must-pass examples: texts of your own with the labels that they must get.",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Keep `check` a command of its own, although it is the only one."""


@app.command()
@of_task
def check(
    model: Annotated[str | None, typer.Argument(help="A model's name; by default, the champion.")] = None,
    engine: Engine = "auto",
    json: Json = False,
) -> None:
    """List the must-pass examples that a model fails. Nothing is stored. The exit code is 1 if one fails.

    The examples are CSV and JSON Lines files in the folder `CLASSIFIER_EXAMPLES`. Rows that cannot be read are listed,
    with exit code 2.

    Example: `classifier examples check champion`
    """
    from classifier.pipeline.promotion import example_checks

    report = example_checks.check_examples(workspace(), model, engine=engine_name(engine))
    if json:
        render.print_json(asdict(report))
    else:
        _show(report)
    if problems := report.results.problems:
        number, quoted = plural(report.results.invalid, "problem"), render.quote_problems(problems)
        raise SourceError(f"{report.folder}: {number}: {quoted}; correct the files and run it again")
    if report.results.failed:
        raise typer.Exit(1)


def _show(report: ExampleReport) -> None:
    results = report.results
    title = f"{report.model}: {results.failed:,} of {plural(results.examples, 'must-pass example')} failed"
    if not results.failures:
        render.STDOUT.print(title)
    else:
        table = render.make_table(title, "example", "file", "row", "result")
        for failure in results.failures:
            table.add_row(failure.name, failure.file, failure.position, failure.reason)
        render.print_wide(table)
        if (more := results.failed - len(results.failures)) > 0:
            render.STDOUT.print(f"and {more:,} more")
    for problem in results.problems:
        render.STDOUT.print(problem)
    if (more := results.invalid - len(results.problems)) > 0:
        render.STDOUT.print(f"and {plural(more, 'more problem')}")
