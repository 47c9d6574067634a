"""Define the command `classifier explain`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from classifier.articles import join_labels
from classifier.cli import classification, render
from classifier.cli.common import Engine, Json
from classifier.cli.common import workspace as open_workspace
from classifier.exceptions import CategoryError, SettingsError

if TYPE_CHECKING:
    from classifier.inference.explanation import Word
    from classifier.pipeline.labelling.classification import TextClassifier
    from classifier.pipeline.labelling.explanation import CategoryExplanation, StoredArticle, TextExplanation, WordTotal
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
            help="Number of similar annotated articles to list; by default 5 with --article, else 0.",
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
    try:
        explained = explanation.explain_text(opened, stored.input_of(opened) if stored else content, category)
    except CategoryError as error:
        raise SettingsError(f"--{error}") from error  # --category NAME: unknown; …
    number = nearest if nearest is not None else 5 if stored else 0
    is_directory = model is not None and classification.is_directory(model)
    similar = _find_nearest(explained, stored, number, are_recorded=is_directory) if number else None
    if json:
        _print_json(opened, explained, similar)
        return
    for of_category in explained.categories:
        _print_category(explained, of_category)
    _print_notes(explained)
    if similar is not None:
        _print_nearest(similar)


def _find_nearest(
    explained: TextExplanation, stored: StoredArticle | None, number: int, *, are_recorded: bool
) -> NearestArticles:
    """Return the nearest articles; a model's directory has the categories' names of its training, as recorded."""
    from classifier.pipeline.review import nearest_articles

    workspace, categories = open_workspace(), explained.alternatives
    return nearest_articles.find_nearest(
        workspace,
        explained.text,
        nearest_articles.translate_categories(workspace, categories) if are_recorded else categories,
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
    from classifier.pipeline.labelling.explanation import total_words

    title = f"{of_category.category}: probability {of_category.probability:.4f}, {explained.model}, {explained.engine}"
    parts = ["network", "linear"] if of_category.has_linear else []
    table = render.make_table(title, "word", "times", "log-odds", *parts)
    totals = total_words(explained.text, of_category.words)
    for total in [total for total in totals if total.contribution > 0][:WORDS]:
        table.add_row(*_format_total(total, parts))
    table.add_section()
    for total in [total for total in totals if total.contribution < 0][-WORDS:]:
        table.add_row(*_format_total(total, parts))
    render.STDOUT.print(table)
    if sys.stdout.isatty():  # a file or a log gets no text
        render.STDOUT.print(_highlight(explained.text, of_category.words))
        render.STDOUT.print()


def _format_total(total: WordTotal, parts: list[str]) -> list[str]:
    of_members = [f"{total.network:+.3f}", f"{total.linear:+.3f}"] if parts else []
    return [total.word, f"{total.count}", f"{total.contribution:+.3f}", *of_members]


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
