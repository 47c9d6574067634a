"""Define the command `classifier explain`."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from classifier.articles import join_labels
from classifier.cli import classification, render
from classifier.cli.common import Engine, Json
from classifier.cli.common import workspace as open_workspace
from classifier.exceptions import SettingsError

if TYPE_CHECKING:
    from classifier.inference.explanation import Word
    from classifier.pipeline.labelling.classification import TextClassifier
    from classifier.pipeline.labelling.explanation import CategoryExplanation, StoredArticle, TextExplanation
    from classifier.pipeline.review.nearest_articles import NearestArticles

WORDS = 10
"""Words for a category, and words against it, that a table shows; JSON has all of them."""

MAX_CHARACTERS = 5_000
"""Characters of the text that are shown."""

LEAST_SHOWN = 0.1
"""Share of the largest figure from which a word is highlighted."""

_FOR = ("black on #d6e4ff", "black on #9dc1ff", "black on #5b96f7")
_AGAINST = ("black on #ffe3c4", "black on #ffc07a", "black on #f08a24")


def explain(
    text: Annotated[
        str | None, typer.Argument(help="The text; by default, it is read from --file, or from a pipe.")
    ] = None,
    article: Annotated[
        tuple[str, str] | None,
        typer.Option(help="An article of the database: its source, and its id there.", metavar="SOURCE ID"),
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Explain this category; by default, the label or all labels.")
    ] = None,
    nearest: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=100,
            help="Annotated articles to list that are most similar; by default, 5 for an article, else none.",
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="File to read; the whole file is one text.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A model's directory, for which no database is needed, or a model's name; by default, the champion."
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help='Encoding of the file or pipe; "auto" detects it.')] = "utf-8",
    engine: Engine = "openvino",
    json: Json = False,
) -> None:
    """Print the words that speak for the label of a text or article, and those against it. Nothing is stored.

    On a terminal, the text is shown with these words highlighted.

    Example: `classifier explain "The striker scored twice in the cup final."`
    """
    from classifier.pipeline.labelling import explanation

    if article and (text is not None or file is not None):
        raise SettingsError("--article: cannot be combined with a text or --file; leave one of them out")
    content = "" if article else next(classification.read_texts(text, file, lines=False, encoding=encoding))[1]
    stored = explanation.find_article(open_workspace(), *article) if article else None
    opened = classification.open_model(model, engine)
    explained = explanation.explain_text(opened, stored.input_of(opened) if stored else content, category)
    number = nearest if nearest is not None else 5 if stored else 0
    similar = _find_nearest(explained, stored, number)
    if json:
        _print_json(opened, explained, similar)
        return
    for of_category in explained.categories:
        _print_category(explained, of_category)
    _print_notes(explained)
    if similar is not None:
        _print_nearest(similar)


def _find_nearest(explained: TextExplanation, stored: StoredArticle | None, number: int) -> NearestArticles | None:
    if not number:
        return None
    from classifier.pipeline.review import nearest_articles

    return nearest_articles.find_nearest(
        open_workspace(),
        explained.text,
        explained.alternatives,
        article_id=stored.id if stored else None,
        number=number,
    )


def _print_json(opened: TextClassifier, explained: TextExplanation, similar: NearestArticles | None) -> None:
    result = explained.result
    label: dict[str, Any] = {"label": result.label, "abstained": result.abstained}
    categories = [
        {
            **asdict(of_category),
            "words": [{"word": explained.text[word.start : word.end], **asdict(word)} for word in of_category.words],
        }
        for of_category in explained.categories
    ]
    render.print_json({
        **(label if result.labels is None else {"labels": list(result.labels)}),
        "confidence": result.confidence,
        "categories": categories,
        "words": explained.words,
        "words_read": explained.words_read,
        "runs": explained.runs,
        **({} if similar is None else {"compared": similar.compared, "nearest": [*map(asdict, similar.articles)]}),
        "model": opened.model,
        "engine": explained.engine,
    })


def _print_category(explained: TextExplanation, of_category: CategoryExplanation) -> None:
    """Print the words for and against a category, and on a terminal the text."""
    title = f"{of_category.category}: probability {of_category.probability:.4f}, {explained.model}, {explained.engine}"
    parts = ["network", "linear"] if of_category.has_linear else []
    table = render.make_table(title, "word", "times", "log-odds", *parts)
    counted = _count_words(explained.text, of_category.words)
    ranked = sorted(counted.items(), key=lambda item: -item[1][1])
    for name, figures in [item for item in ranked if item[1][1] > 0][:WORDS]:
        table.add_row(name, *_format_figures(figures, parts))
    table.add_section()
    for name, figures in [item for item in reversed(ranked) if item[1][1] < 0][:WORDS][::-1]:
        table.add_row(name, *_format_figures(figures, parts))
    render.STDOUT.print(table)
    if sys.stdout.isatty():  # a file or a log gets no text
        render.STDOUT.print(_highlight(explained.text, of_category.words))
        render.STDOUT.print()


def _count_words(text: str, words: tuple[Word, ...]) -> dict[str, list[float]]:
    """Return how often each word occurs, and the sums of its figures: in total, the network's and the linear ones."""
    counted: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
    for word in words:
        figures = counted[text[word.start : word.end].casefold()]
        for index, value in enumerate((1.0, word.contribution, word.network, word.linear)):
            figures[index] += value
    return counted


def _format_figures(figures: list[float], parts: list[str]) -> list[str]:
    count, total, network, linear = figures
    return [f"{count:.0f}", f"{total:+.3f}", *([f"{network:+.3f}", f"{linear:+.3f}"] if parts else [])]


def _highlight(text: str, words: tuple[Word, ...]) -> Text:
    """Return the text with a background of three strengths behind the words that matter most."""
    shown = Text(text[:MAX_CHARACTERS])
    largest = max((abs(word.contribution) for word in words), default=0.0)
    for word in words:
        share = abs(word.contribution) / largest
        if word.end <= MAX_CHARACTERS and share >= LEAST_SHOWN:
            styles = _FOR if word.contribution > 0 else _AGAINST
            shown.stylize(styles[min(2, int(3 * share))], word.start, word.end)
    if len(text) > MAX_CHARACTERS:
        shown.append(f"… and {len(text) - MAX_CHARACTERS:,} more characters")
    return shown


def _print_notes(explained: TextExplanation) -> None:
    """Print the label, if a category of another name was explained, and how exact the figures are."""
    result = explained.result
    if [of_category.category for of_category in explained.categories] != list(result.labels or (result.label,)):
        render.STDOUT.print(f"The label is {result.label if result.labels is None else join_labels(result.labels)}.")
    if explained.words_read < explained.words:
        render.STDOUT.print(f"The network reads {explained.words_read:,} of the {explained.words:,} words.")
    if any(word.is_shared for word in explained.categories[0].words):
        render.STDOUT.print("The text is long: words that matter less were examined in blocks and share their figure.")


def _print_nearest(similar: NearestArticles) -> None:
    table = render.make_table(
        f"Nearest of {similar.compared:,} annotated articles", "similarity", "categories", "source", "id", "title"
    )
    for article in similar.articles:
        table.add_row(
            f"{article.similarity:.3f}",
            join_labels(article.categories),
            article.source,
            article.external_id,
            article.title or "",
        )
    render.STDOUT.print(table)
