"""Print the annotations that are probably wrong. Texts are not printed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from classifier.articles import join_labels
from classifier.cli import render
from classifier.plurals import plural

if TYPE_CHECKING:
    from classifier.pipeline.review.annotation_checks import DoubtfulAnnotations, DoubtfulArticle

COLUMNS = (
    "article", "source", "id", "split", "annotated", "by", "suggested", "probability", "champion", "confidence",
    "nearest annotated articles",
)  # fmt: skip


def print_doubtful(report: DoubtfulAnnotations, as_json: bool) -> None:
    """Print the counts of each category, and a row for each article."""
    if as_json:
        render.print_json(asdict(report))
        return
    _print_summary(report)
    doubted = sorted(report.categories, key=lambda row: (-row.doubtful, row.category))
    table = render.make_table("Categories", "category", "annotated", "doubtful")
    for row in doubted[: render.MAX_ROWS]:
        table.add_row(row.category, f"{row.annotated:,}", f"{row.doubtful:,}")
    render.STDOUT.print(table)
    if not report.articles:
        reason = f"; none could be assessed: {report.obstacle}" if report.obstacle else ""
        render.STDOUT.print(f"Doubtful annotations: none{reason}")
        return
    table = render.make_table("Doubtful annotations", *COLUMNS)
    for article in report.articles:
        table.add_row(*_cells(article))
    render.print_wide(table)
    if any(article.split != "train" for article in report.articles):
        render.warn("a reader of this list should not annotate its held-out articles; queue them instead, with --queue")


def _print_summary(report: DoubtfulAnnotations) -> None:
    drawn = f", of which {report.drawn:,} were drawn at random" if report.drawn < report.annotated else ""
    render.STDOUT.print(
        f"{plural(report.annotated, 'annotated article')}{drawn}: {report.checked:,} checked by a person, "
        f"{report.assessed:,} assessed, about {report.estimated:,} of these annotations are wrong."
    )


def _cells(article: DoubtfulArticle) -> tuple[str, ...]:
    neighbours = "; ".join(
        f"{join_labels(near.categories)} ({near.similarity:.2f}, {near.article_id})" for near in article.neighbours
    )
    return (
        str(article.article_id),
        article.source,
        article.external_id,
        article.split,
        join_labels(article.annotated),
        article.annotator,
        join_labels(article.suggested),
        f"{article.probability:.3f}",
        "-" if article.predicted is None else join_labels(article.predicted),
        "-" if article.confidence is None else f"{article.confidence:.2f}",
        neighbours or "-",
    )
