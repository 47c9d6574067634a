"""The commands about the champion: report, gate, promote, promotions, rollback, prune."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from classifier.cli import render, render_models
from classifier.cli.common import Json, checked_precision, user_name, workspace
from classifier.plurals import plural

if TYPE_CHECKING:
    from classifier.evaluation.margins import Margins
    from classifier.pipeline.promotion.gate_result import GateResult
    from classifier.pipeline.promotion.history import PastDecision
    from classifier.pipeline.promotion.label_churn import Churn
    from classifier.pipeline.promotion.pruning import PrunedModels
    from classifier.registry import Decision
    from classifier.workspace import Workspace

Model = Annotated[str | None, typer.Argument(help="A model's name; by default, the newest model.")]
Policy = Annotated[
    str | None,
    typer.Option(help="Policy of the gate: non-inferior or superior; by default, the policy of CLASSIFIER_GATE."),
]


def report(
    model: Annotated[
        str | None, typer.Argument(help='A model\'s name, or "champion"; by default, the newest model.')
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; by default, MODEL.evaluation.html next to the model.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a model's evaluation as an HTML page, with the champion's if both predicted the same articles.

    Example: `classifier report --out report.html`
    """
    from classifier.pipeline.promotion import html_report

    render.show(html_report.write_report(workspace(), model, out=out), json, title="Report")


def mistakes(
    model: Annotated[
        str | None, typer.Argument(help='A model\'s name, or "champion"; by default, the newest model.')
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of mistakes.")] = 20,
    text: Annotated[bool, typer.Option("--text", help="Also print the articles' texts.")] = False,
    json: Json = False,
) -> None:
    """List a model's most confident mistakes on the test split. A confident mistake is often a wrong annotation.

    Example: `classifier mistakes champion --limit 5`
    """
    from classifier.pipeline.promotion import mistakes

    render_models.print_mistakes(mistakes.list_mistakes(workspace(), model, limit=limit, with_text=text), json)


def gate(
    model: Model = None,
    policy: Policy = None,
    sample: Annotated[
        int, typer.Option(min=0, help="Number of articles to label as a trial, to find changed labels; 0 labels none.")
    ] = 500,
    json: Json = False,
) -> None:
    """Show whether a model would be promoted, and which labels would change. Nothing is decided.

    Example: `classifier gate --sample 100`
    """
    from classifier.pipeline.promotion import gate_result, label_churn

    opened = workspace()
    result = gate_result.apply_gate(opened, model, margins=_margins(opened, policy))
    churn = label_churn.measure_churn(opened, result.model, size=sample) if sample else None
    if json:
        render.print_json({**result.as_json(), "churn": churn.as_json() if churn else None})
        return
    _show_gate_result(result)
    if churn:
        _show_churn(churn)


def promote(
    model: Model = None,
    policy: Policy = None,
    target_precision: Annotated[
        float | None,
        typer.Option(
            help="First re-tune the abstention threshold for this precision, from 0 to 1, on the validation split; "
            "0 disables it. By default, the threshold stays."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Promote a model to champion if it passes the gate. `classifier gate` shows the result beforehand.

    The exit code is 1 if the model is not promoted.

    Example: `classifier promote`
    """
    from classifier.pipeline.promotion import decisions, evaluation

    target, opened = checked_precision(target_precision), workspace()
    if target is not None:
        evaluation.evaluate(opened, model, target_precision=target)
    decision = decisions.promote_if_better(
        opened, model, margins=_margins(opened, policy), decided_by=user_name("promote")
    )
    _show_decision(decision, json)
    if decision.verdict != "promoted":
        raise typer.Exit(1)


def promotions(
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of decisions to show, newest first.")] = 20,
    json: Json = False,
) -> None:
    """List the decisions on models, newest first, with the time, the user and the reason."""
    from classifier.pipeline.promotion import history

    past = history.read_history(workspace(), limit=limit)
    if json:
        render.print_json([asdict(decision) for decision in past])
        return
    _show_history(past)


def rollback(
    model: Annotated[
        str | None, typer.Argument(help="A former champion's name; by default, the previous champion.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Reason, stored with the decision; by default, empty.")] = "",
    json: Json = False,
) -> None:
    """Make a former champion the champion again. Its labels replace those of the present champion at once.

    Example: `classifier rollback --reason "sports labelled as business"`
    """
    from classifier.pipeline.promotion import decisions

    decision = decisions.roll_back(workspace(), model, reason=reason, decided_by=user_name("rollback"))
    _show_decision(decision, json)


def prune(
    keep_models: Annotated[
        int, typer.Option(help="Number of former champions and rejected models to keep, newest first.")
    ],
    keep_champions: Annotated[
        int | None,
        typer.Option(help="Number of the last champions to keep in any case; by default, 3."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete the models; by default, the command only lists them.")
    ] = False,
    json: Json = False,
) -> None:
    """Delete the labels and files of old models, but never those of the champion and the last champions before it.

    Example: `classifier prune --keep-models 5`
    """
    from classifier.pipeline.promotion import pruning, retention

    champions = retention.KEPT_CHAMPIONS if keep_champions is None else keep_champions
    pruned = pruning.prune(workspace(), keep=keep_models, keep_champions=champions, yes=yes)
    if json:
        render.print_json({"deleted": yes, "models": [asdict(model) for model in pruned]})
        return
    _show_pruned(pruned, deleted=yes)


def _margins(opened: Workspace, policy: str | None) -> Margins:
    from classifier.evaluation.margins import Margins

    margins = Margins().with_changes(opened.settings.gate)
    return margins.with_changes({"policy": policy}) if policy else margins


def _show_decision(decision: Decision, as_json: bool) -> None:
    values: dict[str, Any] = asdict(decision)
    if not as_json:
        del values["statistics"]
    render.show(values, as_json, title="Decision")


def _show_gate_result(result: GateResult) -> None:
    compared = f"compared with {result.champion}" if result.champion else "as a first model"
    title = f"{result.model} {compared}, {plural(result.test_articles, 'test article')}: {result.gate.verdict}"
    table = Table("rule", "outcome", "reason", title=title, title_justify="left", title_style="bold")
    for rule in result.gate.rule_results:
        table.add_row(rule.rule, rule.outcome, rule.reason)
    render.STDOUT.print(table)


def _show_churn(churn: Churn) -> None:
    if churn.champion:
        low, high = churn.share_interval
        render.STDOUT.print(
            f"Of {plural(churn.sample, 'sampled label')} {churn.changed:,} would change: {churn.share:.1%} "
            f"({low:.1%} to {high:.1%})."
        )
    for flow in churn.flows[: render.MAX_ROWS]:
        ids = ", ".join(map(str, flow.examples))
        render.STDOUT.print(f"  {flow.before} -> {flow.after}: {flow.articles:,}, such as {ids}")
    if (more := len(churn.flows) - render.MAX_ROWS) > 0:
        render.STDOUT.print(f"  and {plural(more, 'smaller change')}; --json has all.")
    render.STDOUT.print(
        f"Labelling {plural(churn.backlog, 'article')} again takes about {churn.backfill_seconds / 60:,.1f} minutes "
        f"at {churn.articles_per_second:,.1f} articles a second."
    )


def _show_history(decisions: list[PastDecision]) -> None:
    if not decisions:
        render.STDOUT.print("Promotions: none yet; run: classifier promote")
        return
    table = Table(
        "when", "model", "verdict", "previous champion", "by", "reason", title="Promotions", title_justify="left"
    )
    for past in decisions:
        cells = (past.model, past.verdict, past.previous or "-", past.decided_by, past.reason)
        table.add_row(render.format_time(past.decided_at), *cells)
    render.STDOUT.print(table)


def _show_pruned(models: list[PrunedModels], *, deleted: bool) -> None:
    if not models:
        render.STDOUT.print("Nothing to prune.")
        return
    table = Table("model", "status", "labels", "MB", title="Pruned" if deleted else "Would be pruned")
    for model in models:
        table.add_row(model.model, model.status, f"{model.labels:,}", f"{model.megabytes:,.1f}")
    render.STDOUT.print(table)
    if not deleted:
        render.STDOUT.print("Nothing was deleted; --yes deletes.")
