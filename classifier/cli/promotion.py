"""The commands about who is champion: report, gate, promote, promotions, rollback, prune."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from classifier.cli import render
from classifier.cli.common import Json, checked_precision, workspace

if TYPE_CHECKING:
    from classifier.evaluation.margins import Margins
    from classifier.pipeline.promotion.gate_result import GateResult
    from classifier.pipeline.promotion.history import PastDecision
    from classifier.pipeline.promotion.label_churn import Churn
    from classifier.pipeline.promotion.pruning import PrunedModels
    from classifier.registry import Decision
    from classifier.workspace import Workspace

Model = Annotated[str | None, typer.Option(help="A model's name; the newest by default.")]
Policy = Annotated[str | None, typer.Option(help="non-inferior or superior; CLASSIFIER_GATE's by default.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (report, gate, promote, promotions, rollback, prune):
        app.command()(command)


def report(
    model: Annotated[str | None, typer.Argument(help='A model\'s name or "champion"; the newest by default.')] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; beside the model by default.")] = None,
    json: Json = False,
) -> None:
    """Write a model's evaluation as an HTML page, beside the champion where both answered the same articles."""
    from classifier.pipeline.promotion import html_report

    render.show(html_report.write_report(workspace(), model, out=out), json, title="Report")


def gate(
    model: Model = None,
    policy: Policy = None,
    sample: Annotated[int, typer.Option(min=0, help="Articles to label as a trial; 0 for none.")] = 500,
    json: Json = False,
) -> None:
    """Say whether a model would be promoted, and what that would change. Decides nothing."""
    from classifier.pipeline.promotion import gate_result, label_churn

    place = workspace()
    judged = gate_result.apply_gate(place, model, margins=_margins(place, policy))
    found = label_churn.measure_churn(place, judged.model, size=sample) if sample else None
    if json:
        render.print_json({**judged.as_json(), "churn": found.as_json() if found else None})
        return
    _show_judgement(judged)
    if found:
        _show_churn(found)


def promote(
    model: Model = None,
    policy: Policy = None,
    target_precision: Annotated[
        float | None, typer.Option(help="Choose its threshold anew first: see `classifier evaluate`.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a model champion if the gate lets it: see `classifier gate`."""
    from classifier.pipeline.promotion import decisions, evaluation

    wanted, place = checked_precision(target_precision), workspace()
    if wanted is not None:
        evaluation.evaluate(place, model, target_precision=wanted)
    decision = decisions.promote_if_better(place, model, margins=_margins(place, policy), decided_by=_who("promote"))
    _show_decision(decision, json)


def promotions(
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 20, json: Json = False
) -> None:
    """List who became champion when, by whose decision, and why."""
    from classifier.pipeline.promotion import history

    found = history.read_history(workspace(), limit=limit)
    if json:
        render.print_json([asdict(one) for one in found])
        return
    _show_history(found)


def rollback(
    to: Annotated[str | None, typer.Option(help="A former champion's name; the one before by default.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for those who ask later.")] = "",
    json: Json = False,
) -> None:
    """Make the champion before this one champion again: its labels show at once."""
    from classifier.pipeline.promotion import decisions

    decision = decisions.roll_back(workspace(), to, reason=reason, decided_by=_who("rollback"))
    _show_decision(decision, json)


def prune(
    keep_models: Annotated[int, typer.Option(help="Former champions and models turned down to keep, the newest.")],
    keep_champions: Annotated[
        int | None,
        typer.Option(help="Of those that were champion before this one, as many stay in any case; by default 3."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete. Without it, only say what would go.")] = False,
    json: Json = False,
) -> None:
    """Delete old models' labels and files. Never the champion's; by default, nor those of the three before it."""
    from classifier.pipeline.promotion import pruning, retention

    champions = retention.KEPT_CHAMPIONS if keep_champions is None else keep_champions
    found = pruning.prune(workspace(), keep=keep_models, keep_champions=champions, yes=yes)
    if json:
        render.print_json({"deleted": yes, "models": [asdict(one) for one in found]})
        return
    _show_pruned(found, deleted=yes)


def _margins(place: Workspace, policy: str | None) -> Margins:
    from classifier.evaluation.margins import Margins

    margins = Margins().with_changes(place.settings.gate)
    return margins.with_changes({"policy": policy}) if policy else margins


def _who(command: str) -> str:
    try:
        return f"{getpass.getuser()}, classifier {command}"
    except (KeyError, OSError):  # a user without a name, as in a container
        return f"classifier {command}"


def _show_decision(decision: Decision, as_json: bool) -> None:
    values: dict[str, Any] = asdict(decision)
    if not as_json:
        del values["statistics"]
    render.show(values, as_json, title="Decision")


def _show_judgement(judged: GateResult) -> None:
    beside = f"beside {judged.champion}" if judged.champion else "as a first model"
    title = f"{judged.model} {beside}, {judged.test_articles:,} test articles: {judged.judgement.verdict}"
    table = Table("rule", "outcome", "found", title=title, title_justify="left", title_style="bold")
    for finding in judged.judgement.findings:
        table.add_row(finding.rule, finding.outcome, finding.reason)
    render.STDOUT.print(table)


def _show_churn(found: Churn) -> None:
    if found.champion:
        low, high = found.share_interval
        render.STDOUT.print(
            f"Of {found.sample:,} sampled labels {found.changed:,} would change: {found.share:.1%} "
            f"({low:.1%} to {high:.1%})."
        )
    for flow in found.flows[: render.MAX_ROWS]:
        ids = ", ".join(map(str, flow.examples))
        render.STDOUT.print(f"  {flow.before} -> {flow.after}: {flow.articles:,}, such as {ids}")
    if (more := len(found.flows) - render.MAX_ROWS) > 0:
        render.STDOUT.print(f"  and {more:,} smaller changes; --json has all.")
    render.STDOUT.print(
        f"Labelling {found.backlog:,} articles anew takes about {found.backfill_seconds / 60:,.1f} minutes "
        f"at {found.articles_per_second:,.1f} articles a second."
    )


def _show_history(found: list[PastDecision]) -> None:
    if not found:
        render.STDOUT.print("Promotions: none yet; run: classifier promote")
        return
    table = Table("when", "model", "verdict", "champion then", "by", "why", title="Promotions", title_justify="left")
    for one in found:
        cells = (one.model, one.verdict, one.previous or "-", one.decided_by, one.reason)
        table.add_row(f"{one.decided_at:%Y-%m-%d %H:%M}", *cells)
    render.STDOUT.print(table)


def _show_pruned(found: list[PrunedModels], *, deleted: bool) -> None:
    if not found:
        render.STDOUT.print("Nothing to prune.")
        return
    table = Table("model", "status", "labels", "MB", title="Pruned" if deleted else "Would be pruned")
    for one in found:
        table.add_row(one.model, one.status, f"{one.labels:,}", f"{one.megabytes:,.1f}")
    render.STDOUT.print(table)
    if not deleted:
        render.STDOUT.print("Nothing was deleted; --yes deletes.")
