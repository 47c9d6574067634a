"""The page of an evaluation: the model, and the champion if both predicted the same articles.

The templates write the page. This module chooses what a reader can look through: of many categories or slices, the
ones that matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from classifier import charts, templating
from classifier.articles import join_labels
from classifier.charts import Axis, Dot, Drawing
from classifier.evaluation import gate_rules
from classifier.evaluation.examples import MAX_FAILURES
from classifier.evaluation.metrics import MAX_MATRIX_CATEGORIES, list_confusions
from classifier.evaluation.page import label_set_tables

TEMPLATES = Path(__file__).with_name("templates")

STYLE_SHEETS = (charts.STYLE_SHEET, Path(__file__).with_name("style.css"))

MAX_PAIRS = 30
"""Pairs of categories that are shown if there are too many categories for a matrix."""

MAX_CATEGORIES = 50
"""Rows of the table of categories; of more categories, those with the lowest F1 are shown."""

MAX_EXAMPLES = 50
"""Rows of the table of must-pass examples that failed."""

MAX_SLICES = 40
"""Rows of a chart of slices; of more slices, the largest are shown."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model's name and what its evaluation stored."""

    name: str
    metrics: Mapping[str, Any]

    @property
    def report(self) -> Mapping[str, Any]:
        """The part that `results.build_results` built."""
        report: Mapping[str, Any] = self.metrics["report"]
        return report

    @property
    def left_out(self) -> int:
        """Test articles that do not count, because the model was trained on them."""
        return int(self.metrics.get("left_out", 0))


@dataclass(frozen=True, slots=True)
class SliceChart:
    """The accuracy on the slices of a dimension; `hidden` slices are too small to be drawn."""

    dimension: str
    drawing: Drawing
    hidden: int


def render_page(
    candidate: Subject, champion: Subject | None, *, rule_results: Sequence[Mapping[str, Any]] = (), verdict: str = ""
) -> str:
    """Return the whole page; `rule_results` and `verdict` are the gate's, if it was applied."""
    context = _context(candidate, champion, rule_results, verdict)
    return _render("evaluation_page.html", style=_style(), sections=_sections_template(candidate), **context)


def sections(
    candidate: Subject,
    champion: Subject | None,
    *,
    rule_results: Sequence[Mapping[str, Any]] = (),
    verdict: str = "",
    articles_at: str = "",
) -> Markup:
    """Return the page's content without its title, for another page that has the same style sheets.

    If `articles_at` is the beginning of an address, articles are links to it, followed by their ids.
    """
    context = _context(candidate, champion, rule_results, verdict)
    return _markup(_sections_template(candidate), **{**context, "articles_at": articles_at})


def confusion(metrics: Mapping[str, Any]) -> Markup:
    """Return an evaluation's confusion matrix; of many categories or label sets, the pairs that are confused most."""
    template = "label_set_confusion.html" if label_set_tables.is_multi(metrics) else "evaluation_confusion.html"
    return _markup(template, metrics=metrics)


def _sections_template(candidate: Subject) -> str:
    return "label_set_sections.html" if label_set_tables.is_multi(candidate.metrics) else "evaluation_sections.html"


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(**values)


def _markup(template: str, **values: Any) -> Markup:
    return Markup(_render(template, **values))  # noqa: S704 - the template escaped every value


@cache
def _environment() -> Environment:
    environment = templating.create_environment(TEMPLATES)
    environment.globals |= {"MAX_PAIRS": MAX_PAIRS, "WHOLE_MATRIX": MAX_MATRIX_CATEGORIES}
    environment.globals |= {"MAX_EXAMPLES": MAX_EXAMPLES, "MAX_FAILURES": MAX_FAILURES}
    environment.filters |= {
        "labels": _labels,
        "confusions": _confusions,
        "heat": _heat,
        "split_confused": label_set_tables.split_confused,
    }
    return environment


@cache
def _style() -> Markup:
    return Markup("".join(path.read_text(encoding="utf-8") for path in STYLE_SHEETS))  # noqa: S704 - our own files


def _context(
    candidate: Subject, champion: Subject | None, rule_results: Sequence[Mapping[str, Any]], verdict: str
) -> dict[str, Any]:
    context = {
        "candidate": candidate,
        "champion": champion,
        "models": [candidate, champion] if champion else [candidate],
        "rule_results": rule_results,
        "articles_at": "",
        "verdict": verdict,
        "metrics": candidate.metrics,
        "examples": _examples(candidate, rule_results),
    }
    if label_set_tables.is_multi(candidate.metrics):
        return {
            **context,
            "tables": label_set_tables.split_categories(candidate.metrics),
            "reliability": label_set_tables.draw_reliability(candidate.metrics),
            "precision_recall": label_set_tables.draw_precision_recall(
                candidate.metrics, champion.metrics if champion else None
            ),
            "slice_charts": slice_charts(candidate, champion, metric="Exact matches"),
        }
    return {
        **context,
        "categories": lowest_f1(candidate.metrics["by_category"]),
        "reliability": _reliability(candidate),
        "coverage": _coverage(candidate, champion),
        "slice_charts": slice_charts(candidate, champion),
    }


def _examples(candidate: Subject, rule_results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the results on must-pass examples that the gate saw or, if it was not applied, those of the evaluation."""
    seen = (result["statistics"] for result in rule_results if result["rule"] == gate_rules.EXAMPLES_RULE)
    examples: Mapping[str, Any] | None = next(seen, None) or candidate.metrics.get("examples")
    return examples


def lowest_f1(scores: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the categories by name; if they are too many, those with test articles and the lowest F1."""
    if len(scores) <= MAX_CATEGORIES:
        return sorted(scores.items())

    def order(item: tuple[str, Mapping[str, Any]]) -> tuple[bool, float, int, str]:
        name, score = item
        return not score["support"], score["f1"], -score["support"], name

    return sorted(scores.items(), key=order)[:MAX_CATEGORIES]


def slice_charts(candidate: Subject, champion: Subject | None, *, metric: str = "Accuracy") -> list[SliceChart]:
    """Return a chart for each dimension: the candidate, the champion and the baseline on its largest slices.

    `metric` names the share of correct articles.
    """
    slices = candidate.report["slices"]
    of_champion = {_key(slice_): slice_ for slice_ in champion.report["slices"]} if champion else {}
    result = []
    for dimension in dict.fromkeys(slice_["dimension"] for slice_ in slices):
        members = [slice_ for slice_ in slices if slice_["dimension"] == dimension]
        shown = _largest(members)
        rows = [
            (f"{slice_['name']} ({slice_['articles']:,})", _dots(slice_, of_champion.get(_key(slice_))))
            for slice_ in shown
        ]
        drawing = charts.dots(rows, title=f"{metric} by {dimension}")
        result.append(SliceChart(dimension, drawing, len(members) - len(shown)))
    return result


def _key(slice_: Mapping[str, Any]) -> tuple[str, str]:
    return slice_["dimension"], slice_["name"]


def _largest(slices: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the slices in their order; if they are too many, those with the most articles."""
    kept = sorted(range(len(slices)), key=lambda index: -slices[index]["articles"])[:MAX_SLICES]
    return [slices[index] for index in sorted(kept)]


def _dots(slice_: Mapping[str, Any], of_champion: Mapping[str, Any] | None) -> list[Dot]:
    dots = [_dot("this model", slice_, "first")]
    if of_champion:
        dots.append(_dot("champion", of_champion, "second"))
    baseline = slice_["baseline"]
    return [*dots, Dot("baseline", baseline, baseline, baseline, "third")]


def _dot(name: str, slice_: Mapping[str, Any], colour: str) -> Dot:
    low, high = slice_["interval"]
    return Dot(name, slice_["accuracy"], low, high, colour)


def _reliability(candidate: Subject) -> Drawing:
    calibration = candidate.report["calibration"]
    uncalibrated = {"uncalibrated": calibration["before"]["bins"]} if calibration["temperature"] != 1 else {}
    return charts.reliability({**uncalibrated, "first": calibration["bins"]}, title="Reliability of the model")


def _coverage(candidate: Subject, champion: Subject | None) -> Drawing:
    models = {"this model": candidate, **({"champion": champion} if champion else {})}
    series = {
        name: [(point["coverage"], point["accuracy"]) for point in model.report["coverage"]]
        for name, model in models.items()
    }
    accuracy = [accuracy for points in series.values() for _, accuracy in points]
    x = Axis.of_shares("share of articles, the most confident first")
    return charts.lines(series, x, Axis.of_shares("accuracy", accuracy), title="Accuracy against coverage")


def _confusions(metrics: Mapping[str, Any]) -> Sequence[tuple[int, int, int]]:
    """Return every kind of mistake; earlier versions stored the matrix alone."""
    mistakes: Sequence[tuple[int, int, int]] = metrics.get("confused") or list_confusions(metrics["confusion"])
    return mistakes


def _labels(names: Sequence[str], probabilities: Mapping[str, float]) -> str:
    """Return labels as one text, each with its probability if the model knows it."""
    return join_labels([f"{name} ({probabilities[name]:.4f})" if name in probabilities else name for name in names])


def _heat(share: float) -> str:
    """Return the class of a cell's colour."""
    return f"heat{round(10 * min(1.0, share))}"
