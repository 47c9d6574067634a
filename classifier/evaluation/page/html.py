"""The page of an evaluation: the model, beside the champion where both answered the same articles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.evaluation.metrics import WHOLE_MATRIX, confused
from classifier.evaluation.page import charts
from classifier.evaluation.page.charts import Dot, percent
from classifier.evaluation.page.markup import Child, Markup, join, table, tag

STYLE = Markup((Path(__file__).with_name("style.css")).read_text(encoding="utf-8"))


MAX_PAIRS = 30
"""Pairs of categories that are shown where there are too many for a matrix."""

MAX_CATEGORIES = 50
"""Rows of the table of categories; of more categories, those with the lowest F1 are shown."""

MAX_SLICES = 40
"""Rows of a chart of slices; of more slices, the largest are shown."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model's name and what its evaluation stored."""

    name: str
    metrics: Mapping[str, Any]

    @property
    def report(self) -> Mapping[str, Any]:
        """The part that `evaluation.report` built."""
        found: Mapping[str, Any] = self.metrics["report"]
        return found


def render_page(
    candidate: Subject, champion: Subject | None, *, findings: Sequence[Mapping[str, Any]] = (), verdict: str = ""
) -> str:
    """Return the page; `findings` and `verdict` are the gate's, where it was asked."""
    title = f"Evaluation of {candidate.name}"
    parts = [_head(candidate, champion), sections(candidate, champion, findings=findings, verdict=verdict)]
    head = tag(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", title),
        tag("style", STYLE),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", parts), lang="en") + "\n"


def sections(
    candidate: Subject, champion: Subject | None, *, findings: Sequence[Mapping[str, Any]] = (), verdict: str = ""
) -> Markup:
    """Return what the page has below its title, to stand in another page that has the same style sheet."""
    parts = [
        _headline(candidate, champion),
        _gate(findings, verdict),
        _categories(candidate, champion),
        tag("section", tag("h2", "Confusion"), confusion(candidate.metrics)),
        _confidence(candidate, champion),
        _slices(candidate, champion),
        _mistakes(candidate),
    ]
    return join(parts)


def _head(candidate: Subject, champion: Subject | None) -> Markup:
    articles, clusters = candidate.metrics["articles"], candidate.report["clusters"]
    beside = f", beside the champion {champion.name} on {_which(candidate, champion)}" if champion else ""
    said = (
        f"{articles:,} test articles in {clusters:,} clusters of near-duplicates{beside}. Intervals hold 95 % "
        "of the resamples by cluster."
    )
    return tag("header", tag("h1", candidate.name), tag("p", said, class_="faint"))


def _which(candidate: Subject, champion: Subject) -> str:
    """Say which articles the two were measured on: the figures of each leave out those that it was trained on."""
    if candidate.metrics.get("left_out", 0) or champion.metrics.get("left_out", 0):
        return "the same articles except, for each of the two, those that it was trained on"
    return "the same articles"


def _headline(candidate: Subject, champion: Subject | None) -> Markup:
    models = [candidate, *([champion] if champion else [])]
    names = ["", "model", *(["champion"] if champion else []), "TF-IDF + LinearSVC"]
    rows: list[list[Child]] = []
    for key, name in (("accuracy", "accuracy"), ("macro_f1", "macro-F1")):
        cells = [_with_interval(one.metrics[key], one.report["intervals"][key]) for one in models]
        base = candidate.metrics["baseline"][key], candidate.report["baseline_intervals"][key]
        rows.append([name, *cells, _with_interval(*base)])
    for key, name in (("ece", "expected calibration error"), ("brier", "Brier score")):
        cells = [_with_interval(one.report["calibration"][key], one.report["intervals"][key]) for one in models]
        rows.append([name, *cells, "-"])
    speeds = [f"{one.metrics['articles_per_second']:,.1f} ({one.metrics['engine']})" for one in models]
    rows.append(["articles a second", *speeds, "-"])
    if any(left_out := [one.metrics.get("left_out", 0) for one in models]):
        rows.append(["test articles left out, which it was trained on", *map(str, left_out), "-"])
    return tag("section", tag("h2", "Figures"), table(names, rows))


def _gate(findings: Sequence[Mapping[str, Any]], verdict: str) -> Markup | None:
    if not findings:
        return None
    rows = [
        [one["rule"], tag("td", one["outcome"], class_=one["outcome"]), tag("td", one["reason"], class_="words")]
        for one in findings
    ]
    return tag("section", tag("h2", f"The gate: {verdict}"), table(["rule", "outcome", ""], rows))


def _categories(candidate: Subject, champion: Subject | None) -> Markup:
    mine, base = candidate.metrics["by_category"], candidate.metrics["baseline"]["by_category"]
    theirs = champion.metrics["by_category"] if champion else {}
    head = [
        "category",
        "articles",
        "precision",
        "recall",
        "F1",
        *(["champion's F1"] if champion else []),
        "baseline's F1",
    ]
    rows = [
        [
            name,
            f"{score['support']:,}",
            *(f"{score[key]:.4f}" for key in ("precision", "recall", "f1")),
            *([_f1(theirs, name)] if champion else []),
            _f1(base, name),
        ]
        for name, score in _worst(mine)
    ]
    left_out = _left_out(len(mine) - len(rows), "the lowest F1 first")
    return tag("section", tag("h2", "Categories"), table(head, rows), left_out)


def _worst(scores: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the categories by name; if they are too many, those with test articles and the lowest F1."""
    if len(scores) <= MAX_CATEGORIES:
        return sorted(scores.items())

    def order(item: tuple[str, Mapping[str, Any]]) -> tuple[bool, float, int, str]:
        name, score = item
        return not score["support"], score["f1"], -score["support"], name

    return sorted(scores.items(), key=order)[:MAX_CATEGORIES]


def _left_out(number: int, order: str) -> Markup | None:
    """Say how many rows are not shown; None where all are."""
    return tag("p", f"And {number:,} more; {order}.", class_="faint") if number > 0 else None


def confusion(metrics: Mapping[str, Any]) -> Markup:
    """Return an evaluation's confusion matrix, or of many categories the pairs that are confused most."""
    names, counts = metrics["categories"], metrics["confusion"]
    if len(names) > WHOLE_MATRIX:
        return _most_confused(metrics)
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = max(1, sum(row))
        cells = [tag("td", f"{n:,}" if n else "", class_=_heat(n / total)) for n in row]
        rows.append([tag("th", name, scope="row"), *cells])
    said = "Rows are what was annotated, columns what was predicted; the colour is the share of the row."
    return join([tag("p", said, class_="faint"), table(["", *names], rows)])


def _most_confused(metrics: Mapping[str, Any]) -> Markup:
    names, scores = metrics["categories"], metrics["by_category"]
    found = metrics.get("confused") or confused(metrics["confusion"])  # earlier versions kept the matrix alone
    rows: list[list[Child]] = []
    for true, guess, count in found[:MAX_PAIRS]:
        total = max(1, scores[names[true]]["support"])
        share = tag("td", charts.percent(count / total), class_=_heat(min(1.0, count / total)))
        rows.append([tag("th", names[true], scope="row"), names[guess], f"{count:,}", share])
    said = (
        f"Of {len(names):,} categories, the pairs that are confused most; the share is that of the articles that were "
        "annotated so."
    )
    head = ["annotated", "predicted", "articles", "share"]
    left_out = _left_out(len(found) - len(rows), "the most frequent first")
    return join([tag("p", said, class_="faint"), table(head, rows), left_out])


def _heat(share: float) -> str:
    return f"heat{round(10 * share)}"


def _confidence(candidate: Subject, champion: Subject | None) -> Markup:
    lines = {"candidate": candidate.report["coverage"]}
    if champion:
        lines["champion"] = champion.report["coverage"]
    calibration = candidate.report["calibration"]
    calibrated = calibration.get("temperature", 1) != 1
    bins = {"before": calibration["before"]["bins"]} if calibrated else {}
    bins["candidate"] = calibration["bins"]
    figures = (
        (
            charts.reliability(bins, title="Reliability of the model"),
            "A dot a bin of confidence, larger with more articles. Below the diagonal the model is too sure."
            + (" Hollow: what it was without the temperature." if calibrated else ""),
        ),
        (
            charts.coverage(lines, title="Accuracy against coverage"),
            "What accuracy is left if the least sure are set aside.",
        ),
    )
    drawn = [tag("figure", drawing, tag("figcaption", said)) for drawing, said in figures]
    key = tag("p", _keys(["candidate", *(["champion"] if champion else [])]))
    said = [tag("p", line) for line in (_temperature(candidate), _abstention(candidate)) if line]
    return tag("section", tag("h2", "Confidence"), said, tag("div", drawn, class_="charts"), key)


def _temperature(one: Subject) -> str:
    found = one.report["calibration"]
    if found.get("temperature", 1) == 1:
        return ""
    return (
        f"Temperature {found['temperature']:.3f}, fitted on the validation split. On these articles it takes the "
        f"expected calibration error from {found['before']['ece']:.4f} to {found['ece']:.4f}, and the Brier score from "
        f"{found['before']['brier']:.4f} to {found['brier']:.4f}."
    )


def _abstention(one: Subject) -> str:
    found = one.report.get("abstention")
    if not found:
        return ""
    if not found["threshold"]:
        return "It abstains from nothing."
    if found["precision"] is None:
        return f"It abstains below a confidence of {found['threshold']:.4f}: from every one of these articles."
    low, high = found["precision_interval"]
    wanted = f", where {percent(found['target_precision'])} was wanted" if found["target_precision"] else ""
    return (
        f"It abstains below a confidence of {found['threshold']:.4f}, which was chosen on the validation split. On the "
        f"{percent(found['coverage'])} of these articles that are above, {percent(found['precision'])} of its labels "
        f"are right ({percent(low)} to {percent(high)}){wanted}."
    )


def _slices(candidate: Subject, champion: Subject | None) -> Iterator[Markup]:
    theirs = {(one["dimension"], one["name"]): one for one in champion.report["slices"]} if champion else {}
    found = candidate.report["slices"]
    for dimension in dict.fromkeys(one["dimension"] for one in found):
        rows = []
        parts = [one for one in found if one["dimension"] == dimension]
        shown = _largest(parts)
        for one in shown:
            dots = [_dot(one, "candidate")]
            if other := theirs.get((dimension, one["name"])):
                dots.append(_dot(other, "champion"))
            dots.append(Dot(one["baseline"], one["baseline"], one["baseline"], "baseline"))
            rows.append((f"{one['name']} ({one['articles']:,})", dots))
        series = ["candidate", *(["champion"] if champion else []), "baseline"]
        drawing = charts.dots(rows, title=f"Accuracy by {dimension}")
        left_out = _left_out(len(parts) - len(shown), "those with the most articles are shown")
        yield tag("section", tag("h2", f"Accuracy by {dimension}"), drawing, tag("p", _keys(series)), left_out)


def _largest(parts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the slices in their order; if they are too many, those with the most articles."""
    kept = sorted(range(len(parts)), key=lambda place: -parts[place]["articles"])[:MAX_SLICES]
    return [parts[place] for place in sorted(kept)]


def _dot(one: Mapping[str, Any], series: str) -> Dot:
    low, high = one["interval"]
    return Dot(one["accuracy"], low, high, series)


def _mistakes(candidate: Subject) -> Markup | None:
    found = candidate.report["mistakes"]
    if not found:
        return None
    rows = [[str(one["article"]), one["annotated"], one["predicted"], f"{one['confidence']:.4f}"] for one in found]
    said = "By the article's id in the table articles. A sure mistake is often a wrong annotation."
    head = ["article", "annotated", "predicted", "confidence"]
    title = tag("h2", "The most confident mistakes")
    return tag("section", title, tag("p", said, class_="faint"), table(head, rows))


def _keys(names: Sequence[str]) -> list[Markup]:
    called = {"candidate": "this model", "champion": "champion", "baseline": "baseline"}
    return [tag("span", tag("span", class_=f"key {name}"), called[name]) for name in names]


def _f1(scores: Mapping[str, Any], name: str) -> str:
    return f"{scores[name]['f1']:.4f}" if name in scores else "-"


def _with_interval(value: float, interval: Sequence[float]) -> list[Child]:
    return [f"{value:.4f} ", tag("span", f"{interval[0]:.4f} to {interval[1]:.4f}", class_="faint")]
