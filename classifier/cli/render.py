"""Print reports: tables for people, one line of JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from classifier.pipeline.ingest.declared_sources import SourceCheck
    from classifier.pipeline.ingest.rejected_rows import RejectedRowDetails
    from classifier.pipeline.labelling.dead_letters import DeadLetter
    from classifier.pipeline.monitoring.status import Backlog, ModelStatus, RunStatus, Status, TrainingStatus
    from classifier.pipeline.promotion.evaluation import EvaluationReport
    from classifier.pipeline.promotion.model_details import ModelDetails
    from classifier.pipeline.review.conflicts import Conflict
    from classifier.pipeline.review.review_queue import ReviewStatus
    from classifier.review.sheet import InvalidRow
    from classifier.training.recipes.files import DescribedRecipe

STDOUT = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)  # a category may be "[/news]" or ":key:"


MAX_ROWS = 50
"""Rows of a table that has one for each category; JSON has all of them."""

MAX_NAMES = 20
"""Names in one cell."""


def show(report: Any, as_json: bool, *, title: str | None = None, **more: Any) -> None:
    """Print a report's fields, one a line."""
    values = {**(dict(report) if isinstance(report, Mapping) else asdict(report)), **more}
    if as_json:
        print_json(values)
        return
    table = _table(title, "", "")
    table.show_header = False
    for name, value in values.items():
        table.add_row(name.replace("_", " "), _text(value))
    STDOUT.print(table)


def evaluation(report: EvaluationReport, as_json: bool) -> None:
    """Print an evaluation beside its baseline, category by category."""
    if as_json:
        print_json({**asdict(report), "beats_baseline": report.beats_baseline, "verdict": report.verdict})
        return
    table = _table(f"{report.model} on {report.metrics.articles} test articles", "", "model", "TF-IDF + LinearSVC")
    mine, base = report.metrics, report.baseline
    table.add_row("accuracy", f"{mine.accuracy:.4f}", f"{base.accuracy:.4f}")
    table.add_row("macro-F1", f"{mine.macro_f1:.4f}", f"{base.macro_f1:.4f}")
    for title, value in _sureness(report.confidence):
        table.add_row(title, value, "")
    if report.left_out:
        table.add_row("left out, trained on", str(report.left_out), "")
    table.add_row("seconds to train", _text(report.train_seconds), _text(report.baseline_train_seconds))
    table.add_section()
    scores = list(mine.by_category.items())
    if len(scores) > MAX_ROWS:
        scores = sorted(scores, key=lambda one: (not one[1].support, one[1].f1, -one[1].support, one[0]))[:MAX_ROWS]
    for name, score in scores:
        other = base.by_category.get(name)
        table.add_row(f"F1 {name} ({score.support})", f"{score.f1:.4f}", f"{other.f1:.4f}" if other else "-")
    if more := len(mine.by_category) - len(scores):
        table.add_row(f"and {more:,} more categories, of which --json has the scores", "", "")
    STDOUT.print(table)
    if report.beats_baseline:
        STDOUT.print(report.verdict)
    else:
        warn(report.verdict)


def _sureness(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what there is to say of a model's confidence on the test articles."""
    if "ece" in found:
        yield "expected calibration error", f"{found['ece']:.4f}"
    if found.get("temperature", 1) != 1:
        yield f"  without the temperature {found['temperature']:.4f}", f"{found['ece_before']:.4f}"
    if "threshold" in found:
        yield "confidence below which it abstains", f"{found['threshold']:.4f}"
        yield "  share of articles that it labels", f"{found['coverage']:.4f}"
        wanted = f" ({found['target_precision']:g} was wanted)" if "target_precision" in found else ""
        yield f"  precision on them{wanted}", _text(found.get("precision"))


def warn(line: str) -> None:
    """Print a line that nobody overlooks."""
    STDOUT.print(Text(f"WARNING: {line}", style="bold red"))


def status(report: Status, as_json: bool) -> None:
    """Print where everything stands."""
    if as_json:
        backlog = {"new_seconds": report.backlog.new_seconds, "seconds": report.backlog.seconds}
        print_json({**asdict(report), "waiting": report.waiting, "backlog": {**asdict(report.backlog), **backlog}})
        return
    about = "" if report.counted == 1 else f", estimated from {report.counted:.1%} of them"
    table = _table(f"Articles{about}", "split", "articles", "annotated")
    for name, (total, annotated) in sorted(report.splits.items()):
        table.add_row(name, f"{total:,}", f"{annotated:,}")
    STDOUT.print(table)
    table = _table("Labels", "", "articles")
    for name, count in sorted(report.labels.items()):
        table.add_row({"none": "no label yet"}.get(name, f"by {name}"), f"{count:,}")
    table.add_row("dead letters", f"{report.dead_letters:,}")
    table.add_row("rejected rows", f"{report.rejected_rows:,}")
    STDOUT.print(table)
    _backlog(report.backlog)
    models([report.champion] if report.champion else [], as_json=False, title="Champion")
    if watched := report.watched:
        alarms = f"alarm: {', '.join(watched.alarms)}; see: classifier drift" if watched.alarms else "no alarm"
        STDOUT.print(f"Watched {_text(watched.ran_at)}: {alarms}")
    for training in report.trainings:
        STDOUT.print(_training(training))
    if report.review:
        reviewing(report.review, as_json=False)
    runs(report.runs, as_json=False)


def _backlog(backlog: Backlog) -> None:
    table = _table("Backlog", "", "waiting", "time left")
    table.add_row("new articles", f"{backlog.new:,}", _duration(backlog.new_seconds))
    table.add_row("backfill", f"{backlog.backfill:,}", "")
    table.add_row("backfill, not looked at yet", f"≤ {backlog.unseen:,}" if backlog.unseen else "0", "")
    table.add_row("all", "", _duration(backlog.seconds))
    STDOUT.print(table)
    if backlog.rate:
        STDOUT.print(f"{backlog.rate:,.1f} articles a second were labelled lately.")


def reviewing(report: ReviewStatus, as_json: bool) -> None:
    """Print what waits for review, and how right the champion's labels were of those drawn at random."""
    if as_json:
        print_json(asdict(report))
        return
    waiting = ", ".join(f"{count:,} {reason}" for reason, count in report.waiting.items()) or "nothing"
    STDOUT.print(f"Waiting for review: {waiting}. Conflicts: {report.conflicts:,}.")
    audit = report.audit
    if audit and audit.accuracy is not None:
        low, high = audit.interval
        found = f"{audit.correct:,} of {audit.reviewed:,} labels right: {audit.accuracy:.1%} ({low:.1%} to {high:.1%})"
        STDOUT.print(f"Audit of {audit.model}, drawn at random: {found}.")


def conflicts(found: Sequence[Conflict], as_json: bool) -> None:
    """Print annotations that disagree, a line each."""
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        STDOUT.print("Conflicts: none")
        return
    table = _table("Conflicts", "article", "source", "id", "category now", "annotator", "category", "when", "comment")
    for one in found:
        for opinion in one.opinions:
            identity = (
                str(one.article_id),
                escape(one.source),
                escape(one.external_id),
                escape(one.effective_category or "-"),
            )
            said = (opinion.annotator, opinion.category, _text(opinion.annotated_at), opinion.comment or "")
            table.add_row(*identity, *map(escape, said))
    _print_wide(table)


def invalid_rows(found: Sequence[InvalidRow]) -> None:
    """Print the rows of a sheet that were not imported."""
    for one in found:
        STDOUT.print(f"line {one.line}: {one.reason}", markup=False)


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))


def dead_letters(found: Sequence[DeadLetter], as_json: bool) -> None:
    """Print the articles that a model could not label, with the reasons."""
    if as_json:
        print_json([asdict(letter) for letter in found])
        return
    if not found:
        STDOUT.print("Dead letters: none")
        return
    table = _table("Dead letters", "article", "source", "id", "model", "when", "reason")
    for letter in found:
        cells = (letter.source, letter.external_id, letter.model, _text(letter.failed_at), letter.reason)
        table.add_row(str(letter.article_id), *map(escape, cells))
    _print_wide(table)


def _training(now: TrainingStatus) -> str:
    """Say in a line where a training stands."""
    score = "" if now.macro_f1 is None else f", validation macro-F1 {now.macro_f1:.4f}"
    loss = "" if now.loss is None else f", loss {now.loss:.4f}"
    left = "" if now.seconds_left is None else f", {_minutes(now.seconds_left)} left"
    heard = "" if now.silent_s < 120 else f" (last heard of {_minutes(now.silent_s)} ago; the same command goes on)"
    return f"Training: epoch {now.epoch} of {now.epochs}, step {now.step:,} of {now.steps:,}{loss}{score}{left}{heard}"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


def runs(found: Sequence[RunStatus], as_json: bool) -> None:
    """Print ingests with their counts, and below them why those that failed did."""
    if as_json:
        print_json([asdict(run) for run in found])
        return
    if not found:
        STDOUT.print("Ingests: none yet; run: classifier ingest FILES, or classifier sources ingest")
        return
    counts = ("files", "read", "new", "changed", "unchanged", "rejected", "duplicates")
    table = _table("Ingests", "source", "status", "began", *counts)
    for run in found:
        values = (_text(getattr(run, name)) for name in counts)
        table.add_row(escape(run.source), run.status, _text(run.started_at), *values)
    _print_wide(table)
    for run in found:
        if run.error:
            # most errors of a file begin with its path, which is what it is called here
            STDOUT.print(f"{run.source}: {run.error.removeprefix(f'{run.source}: ')}", markup=False)


def checked(found: Sequence[SourceCheck], as_json: bool) -> None:
    """Print what a run of each source would take, and what is wrong with what it would not."""
    if as_json:
        print_json([asdict(one) for one in found])
        return
    table = _table("Sources", "name", "kind", "group", "unread", "rows", "bad", "encoding", "")
    for one in found:
        more = "+" if one.more else ""
        cells = (_text(one.units), f"{one.rows:,}{more}", _text(one.rejected), _text(one.encoding))
        table.add_row(one.name, one.kind, one.group, *cells, "cannot be read" if one.problem else "ok")
    STDOUT.print(table)
    for one in found:
        for reason, count in (one.reasons or {}).items():
            STDOUT.print(f"{one.name}: {count:,} rows: {reason}", markup=False)


def rejected(found: Sequence[RejectedRowDetails], as_json: bool) -> None:
    """Print rejected rows with their reasons; the rows themselves, which may be long, only as JSON."""
    if as_json:
        print_json([asdict(row) for row in found])
        return
    if not found:
        STDOUT.print("Rejected rows: none")
        return
    table = _table("Rejected rows", "source", "file", "position", "reason")
    for row in found:
        table.add_row(*(escape(value) for value in (row.source, row.unit or "-", row.position, row.reason)))
    _print_wide(table)


def recipes(found: Sequence[DescribedRecipe], as_json: bool) -> None:
    """Print the recipes, what they are for, and the values by which they differ."""
    if as_json:
        print_json([{"description": one.description, **asdict(one.recipe)} for one in found])
        return
    shown = ("epochs", "batch_size", "learning_rate", "max_length", "patience")
    table = _table("Recipes", "name", *(name.replace("_", " ") for name in shown), "for")
    for one in found:
        table.add_row(one.name, *(f"{getattr(one.recipe, name):g}" for name in shown), one.description)
    _print_wide(table)


def models(found: Sequence[ModelStatus], as_json: bool, *, title: str = "Models") -> None:
    """Print a list of models with their figures."""
    if as_json:
        print_json([asdict(model) for model in found])
        return
    if not found:
        STDOUT.print(f"{title}: none yet; run: classifier train")
        return
    table = _table(title, "name", "status", "accuracy", "macro-F1", "abstains below", "promoted")
    for model in found:
        figures = (model.accuracy, model.macro_f1, model.threshold, model.promoted_at)
        table.add_row(model.name, model.status, *map(_text, figures))
    _print_wide(table)


def model(report: ModelDetails, as_json: bool) -> None:
    """Print all that is known of a model: its training value by value, its figures, its decisions."""
    if as_json:
        print_json(asdict(report))
        return
    table = _table(report.name, "", "")
    table.show_header = False
    for name in ("status", "categories", "artefact", "temperature", "threshold"):
        table.add_row(name, escape(_text(getattr(report, name))))
    table.add_section()
    for path, one in _leaves("confidence", report.confidence or {}):
        table.add_row(path.removeprefix("confidence: "), escape(f"{one:g}" if isinstance(one, float) else _text(one)))
    table.add_section()
    order = ("imported", "encoder", "from", "recipe", "data", "training")  # the database has one of its own
    for name in sorted(report.training, key=lambda name: (order.index(name) if name in order else len(order), name)):
        for path, one in _leaves(name, report.training[name]):
            table.add_row(path, escape(f"{one:g}" if isinstance(one, float) else _text(one)))
        table.add_section()
    for decided in report.decisions:
        table.add_row(decided.verdict, escape(f"{_text(decided.decided_at)} by {decided.decided_by}: {decided.reason}"))
    _print_wide(table)
    _figures(report.evaluation)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every value in nested mappings, and a training's epochs a line each, with the way to it."""
    if isinstance(value, Mapping):
        for key, one in islice(value.items(), MAX_ROWS):
            yield from _leaves(f"{path}: {key}".replace("_", " "), one)
        if len(value) > MAX_ROWS:
            yield path.replace("_", " "), f"and {len(value) - MAX_ROWS:,} more; --json has all"
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for one in value:
            yield path, ", ".join(f"{key.replace('_', ' ')} {number}" for key, number in one.items())
    else:
        yield path.replace("_", " "), value


def _figures(evaluation: Mapping[str, Any] | None) -> None:
    if evaluation is None:
        STDOUT.print("Not evaluated yet; run: classifier evaluate")
        return
    table = _table(f"On {evaluation['articles']:,} test articles", "", "model", "TF-IDF + LinearSVC")
    base = evaluation["baseline"]
    for name, title in (("accuracy", "accuracy"), ("macro_f1", "macro-F1")):
        table.add_row(title, _text(evaluation[name]), _text(base[name]))
    for title, value in _sureness(evaluation["confidence"]):
        table.add_row(title, value, "")
    seconds = (evaluation.get("train_seconds"), evaluation.get("baseline_train_seconds"))
    table.add_row("seconds to train", *map(_text, seconds))
    STDOUT.print(table)
    if not evaluation["accuracy"] > base["accuracy"]:
        warn("This model does not beat the baseline.")


def print_json(values: Any) -> None:
    """Print one line of JSON."""
    print(json.dumps(values, default=_plain, ensure_ascii=False))  # noqa: T201


def _print_wide(table: Table) -> None:
    """Print a table that has more to say than 80 columns hold: the terminal may break its lines."""
    Console(highlight=False, width=max(STDOUT.width, 120)).print(table)


def _table(title: str | None, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    return table


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case float():
            return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
        case int() if not isinstance(value, bool):
            return f"{value:,}"
        case list() | tuple():
            more = f" and {len(value) - MAX_NAMES:,} more" if len(value) > MAX_NAMES else ""
            return ", ".join(map(str, value[:MAX_NAMES])) + more
        case _:
            return str(value)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
