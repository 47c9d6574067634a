"""Print how far annotators agree."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from classifier.cli import render
from classifier.cli.render import MAX_ROWS
from classifier.plurals import plural

if TYPE_CHECKING:
    from rich.table import Table

    from classifier.evaluation.annotator_agreement import Agreement, Coefficient

MONTHS = 6
"""Months of an annotator that are shown, the newest; JSON has all of them."""


def print_agreement(report: Agreement, as_json: bool) -> None:
    """Print alpha, then the categories, the pairs and the annotators, each with the lowest figures first."""
    if as_json:
        render.print_json(asdict(report))
        return
    if not report.articles:
        render.STDOUT.print("Agreement: no article has annotations by two people; see CLASSIFIER_REVIEW_OVERLAP")
        return
    articles = plural(report.articles, "article")
    render.STDOUT.print(f"{plural(report.opinions, 'annotation')} of {articles}, each by at least two people.")
    render.STDOUT.print(f"Krippendorff's alpha: {_format(report.alpha)}.")
    table = render.make_table("Categories", "category", "articles", "alpha")
    for category in report.categories[:MAX_ROWS]:
        table.add_row(category.category, f"{category.articles:,}", _format(category.alpha))
    _print(table, len(report.categories))
    table = render.make_table("Pairs", "annotator", "annotator", "articles", "same labels", "kappa")
    for pair in report.pairs[:MAX_ROWS]:
        table.add_row(pair.first, pair.second, f"{pair.articles:,}", f"{pair.agreed:,}", _format(pair.kappa))
    _print(table, len(report.pairs))
    table = render.make_table(
        "Each annotator and the majority of the others", "annotator", "month", "articles", "kappa"
    )
    for annotator in report.annotators[:MAX_ROWS]:
        table.add_row(annotator.annotator, "all", f"{annotator.articles:,}", _format(annotator.kappa))
        for month in annotator.months[-MONTHS:]:
            table.add_row("", month.month, f"{month.articles:,}", _format(month.kappa))
    _print(table, len(report.annotators))


def _print(table: Table, rows: int) -> None:
    render.print_wide(table)
    if rows > MAX_ROWS:
        render.STDOUT.print(f"and {rows - MAX_ROWS:,} more; --json has all")


def _format(coefficient: Coefficient | None) -> str:
    if coefficient is None:
        return "too few articles, or no variation"
    return f"{coefficient.value:.3f} ({coefficient.low:.3f} to {coefficient.high:.3f})"
