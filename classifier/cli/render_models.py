"""Print a model's evaluation, and its details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.table import Table

from classifier.cli import render
from classifier.cli.render import MAX_ROWS, format_value
from classifier.plurals import plural

if TYPE_CHECKING:
    from classifier.evaluation.label_set_metrics import LabelSetMetrics
    from classifier.evaluation.metrics import CategoryScore, Metrics
    from classifier.pipeline.promotion.evaluation_figures import EvaluationReport
    from classifier.pipeline.promotion.mistakes import Mistakes
    from classifier.pipeline.promotion.model_details import ModelDetails

BASELINE = "TF-IDF + LinearSVC"

SECTIONS = ("imported", "encoder", "from", "recipe", "data", "training")
"""Order of a training's values; the database does not keep their order."""


def print_evaluation(report: EvaluationReport, as_json: bool) -> None:
    """Print a model's figures and the baseline's, then the F1 of each category."""
    if as_json:
        render.print_json({**asdict(report), "beats_baseline": report.beats_baseline, "verdict": report.verdict})
        return
    title = f"{report.model} on {plural(report.metrics.articles, 'test article')}"
    table = render.make_table(title, "", "model", BASELINE)
    for name, *figures in _figures(report.metrics, report.baseline):
        table.add_row(str(name), *(f"{figure:.4f}" for figure in figures))
    for name, value in _confidence_rows(report.confidence):
        table.add_row(name, value, "")
    if unknown := sum(report.unknown_categories.values()):
        table.add_row("of categories that the model does not know", f"{unknown:,}", "")
    if report.left_out:
        table.add_row("left out: the model was trained on them", str(report.left_out), "")
    seconds = (report.train_seconds, report.baseline_train_seconds)
    table.add_row("seconds to train", *map(format_value, seconds))
    table.add_section()
    _add_categories(table, report.metrics, report.baseline)
    render.STDOUT.print(table)
    if report.beats_baseline:
        render.STDOUT.print(report.verdict)
    else:
        render.warn(report.verdict)


def _figures(
    metrics: Metrics | LabelSetMetrics, baseline: Metrics | LabelSetMetrics
) -> Iterator[tuple[str, float, float]]:
    """Yield the names of the figures over all categories, with those of the model and of the baseline."""
    from classifier.evaluation.label_set_metrics import LabelSetMetrics

    names = {"accuracy": "accuracy", "macro-F1": "macro_f1"}
    if isinstance(metrics, LabelSetMetrics):
        names = {"micro-F1": "micro_f1", "macro-F1": "macro_f1", "exact matches": "exact_matches"}
        names |= {"Hamming loss": "hamming_loss", "labels an article": "predicted_per_article"}
    for name, field in names.items():
        yield name, getattr(metrics, field), getattr(baseline, field)


def _add_categories(table: Table, metrics: Metrics | LabelSetMetrics, baseline: Metrics | LabelSetMetrics) -> None:
    """Add a row for each category; of many categories, for those with the lowest F1."""

    def order(item: tuple[str, CategoryScore]) -> tuple[bool, float, int, str]:
        name, score = item
        return not score.support, score.f1, -score.support, name

    scores = list(metrics.by_category.items())
    if len(scores) > MAX_ROWS:
        scores = sorted(scores, key=order)[:MAX_ROWS]
    for name, score in scores:
        other = baseline.by_category.get(name)
        table.add_row(f"F1 {name} ({score.support})", f"{score.f1:.4f}", f"{other.f1:.4f}" if other else "-")
    if more := len(metrics.by_category) - len(scores):
        table.add_row(f"and {plural(more, 'more category', 'more categories')}; --json has all", "", "")


def _confidence_rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the figures of a model's confidence on the test articles, with their names."""
    if "ece" in figures:
        yield "expected calibration error", f"{figures['ece']:.4f}"
    if figures.get("temperature", 1) != 1:
        yield f"  without the temperature {figures['temperature']:.4f}", f"{figures['ece_before']:.4f}"
    if "threshold" in figures:
        yield "confidence below which the model abstains", f"{figures['threshold']:.4f}"
        yield "  share of articles that it labels", f"{figures['coverage']:.4f}"
        if "coverage_by_parents" in figures:
            yield "    with a parent of its category", f"{figures['coverage_by_parents']:.4f}"
        target = f" (target {figures['target_precision']:g})" if "target_precision" in figures else ""
        yield f"  precision on them{target}", format_value(figures.get("precision"))


def print_mistakes(report: Mistakes, as_json: bool) -> None:
    """Print a model's most confident mistakes; a text, and an address, have a line of their own."""
    if as_json:
        render.print_json(asdict(report))
        return
    title = f"{report.model}: {report.wrong:,} of {report.test_articles:,} test articles are wrong"
    if not report.mistakes:
        render.STDOUT.print(title)
        return
    columns = ("article", "source", "id", "annotated", "predicted", "confidence")
    with_titles = any(mistake.title for mistake in report.mistakes)
    table = render.make_table(title, *columns, *(["title"] if with_titles else []))
    for mistake in report.mistakes:
        cells = (str(mistake.article_id), mistake.source, mistake.external_id, mistake.annotated, mistake.predicted)
        more = [mistake.title or ""] if with_titles else []
        table.add_row(*cells, f"{mistake.confidence:.4f}", *more)
    render.print_wide(table)
    for mistake in report.mistakes:
        lines = [line for line in (mistake.url, mistake.text) if line]
        if lines:
            render.STDOUT.print(f"\n{mistake.article_id}: {mistake.annotated}, predicted {mistake.predicted}")
            render.STDOUT.print("\n".join(lines))


def print_model(report: ModelDetails, as_json: bool) -> None:
    """Print a model's details: the values of its training, its decisions and its figures."""
    if as_json:
        render.print_json(asdict(report))
        return
    table = render.make_table(report.name, "", "")
    table.show_header = False
    for name in ("status", "categories", "artefact", "temperature", "threshold"):
        table.add_row(name, format_value(getattr(report, name)))
    table.add_section()
    for path, value in _leaves("confidence", report.confidence or {}):
        table.add_row(path.removeprefix("confidence: "), _format_setting(value))
    table.add_section()
    for name in sorted(report.training, key=_section_order):
        for path, value in _leaves(name, report.training[name]):
            table.add_row(path, _format_setting(value))
        table.add_section()
    for decision in report.decisions:
        when = format_value(decision.decided_at)
        table.add_row(decision.verdict, f"{when} by {decision.decided_by}: {decision.reason}")
    render.print_wide(table)
    _print_figures(report.evaluation)


def _section_order(name: str) -> tuple[int, str]:
    return SECTIONS.index(name) if name in SECTIONS else len(SECTIONS), name


def _format_setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else format_value(value)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every value of nested mappings with its path; the epochs of a training are a line each."""
    if isinstance(value, Mapping):
        for key, child in islice(value.items(), MAX_ROWS):
            yield from _leaves(f"{path}: {key}".replace("_", " "), child)
        if len(value) > MAX_ROWS:
            yield path.replace("_", " "), f"and {len(value) - MAX_ROWS:,} more; --json has all"
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for row in value:
            yield path, ", ".join(f"{key.replace('_', ' ')} {number}" for key, number in row.items())
    else:
        yield path.replace("_", " "), value


def _print_figures(evaluation: Mapping[str, Any] | None) -> None:
    if evaluation is None:
        render.STDOUT.print("Not evaluated yet; run: classifier evaluate")
        return
    table = render.make_table(f"On {plural(evaluation['articles'], 'test article')}", "", "model", BASELINE)
    baseline = evaluation["baseline"]
    for name, title in (("accuracy", "accuracy"), ("macro_f1", "macro-F1")):
        table.add_row(title, format_value(evaluation[name]), format_value(baseline[name]))
    for title, value in _confidence_rows(evaluation["confidence"]):
        table.add_row(title, value, "")
    seconds = (evaluation.get("train_seconds"), evaluation.get("baseline_train_seconds"))
    table.add_row("seconds to train", *map(format_value, seconds))
    render.STDOUT.print(table)
    if not evaluation["accuracy"] > baseline["accuracy"]:
        render.warn("This model does not beat the baseline.")
