"""What the page of a multi-label model shows: its categories in tables that stay readable at a hundred, and charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classifier import charts
from classifier.charts import Axis, Drawing

TOP_CATEGORIES = 20
"""Categories that are shown at once: those with the most articles. The others unfold."""

MAX_ROWS = 200
"""Rows of a table that unfolds."""

CategoryRow = tuple[str, Mapping[str, Any], float | None]
"""A category's name, its scores, and its threshold if one was chosen."""


Pair = tuple[int | None, int | None, int]
"""A missed label, a wrong one and the number of articles, see `LabelSetMetrics.confused`."""


@dataclass(frozen=True, slots=True)
class CategoryTable:
    """Some categories; `summary` is the line that unfolds the table, empty if it is always open."""

    summary: str
    rows: Sequence[CategoryRow]
    hidden: int = 0


def is_multi(metrics: Mapping[str, Any]) -> bool:
    """Return whether the figures are those of a multi-label task."""
    return metrics.get("kind") == "multi"


def split_categories(metrics: Mapping[str, Any]) -> list[CategoryTable]:
    """Return the categories with the most articles, then the others, then all from the lowest F1 on.

    Categories without a test article have no F1 to sort by, so the last table leaves them out.
    """
    thresholds = (metrics["report"]["thresholds"] or {"values": {}})["values"]
    rows = [(name, score, thresholds.get(name)) for name, score in metrics["by_category"].items()]
    rows.sort(key=lambda row: (-row[1]["support"], row[0]))
    if len(rows) <= TOP_CATEGORIES:
        return [CategoryTable("", rows)]
    others = rows[TOP_CATEGORIES:]
    occurring = sorted((row for row in rows if row[1]["support"]), key=lambda row: (row[1]["f1"], -row[1]["support"]))
    return [
        CategoryTable("", rows[:TOP_CATEGORIES]),
        _folded(f"The other {len(others):,} categories, those with the most articles first", others),
        _folded(f"{len(occurring):,} categories with test articles, the lowest F1 first", occurring),
    ]


def _folded(summary: str, rows: Sequence[CategoryRow]) -> CategoryTable:
    return CategoryTable(summary, rows[:MAX_ROWS], max(0, len(rows) - MAX_ROWS))


def split_confused(metrics: Mapping[str, Any]) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs of two confused labels, and the labels that were missed or wrong alone; each by frequency."""
    confused: list[Pair] = metrics["confused"]
    pairs, alone = ([pair for pair in confused if (None in pair) == unpaired] for unpaired in (False, True))
    return pairs, alone


def draw_reliability(metrics: Mapping[str, Any]) -> Drawing:
    """Return how often a decision's probability comes true."""
    calibration = metrics["report"]["calibration"]
    uncalibrated = {"uncalibrated": calibration["before"]["bins"]} if calibration["temperature"] != 1 else {}
    return charts.reliability(
        {**uncalibrated, "first": calibration["bins"]},
        title="Reliability of the model's decisions",
        counted="decision",
        axes=("probability", "true labels"),
    )


def draw_precision_recall(metrics: Mapping[str, Any], of_champion: Mapping[str, Any] | None) -> Drawing:
    """Return the precision of the most probable labels against their recall."""
    models = {"this model": metrics, **({"champion": of_champion} if of_champion else {})}
    series = {
        name: [(point["recall"], point["precision"]) for point in model["report"]["precision_recall"]]
        for name, model in models.items()
    }
    precision = [precision for points in series.values() for _, precision in points]
    return charts.lines(
        series, Axis.of_shares("recall"), Axis.of_shares("precision", precision), title="Precision against recall"
    )
