"""Define the command `classifier classify`."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from classifier import settings
from classifier.cli import render
from classifier.cli.common import Engine, Json, engine_name
from classifier.cli.common import workspace as open_workspace
from classifier.exceptions import SettingsError, SourceError

if TYPE_CHECKING:
    from classifier.pipeline.labelling.classification import Classification, TextClassifier

LINES = 64
"""Lines that are classified together, and then printed."""

OTHERS = 5
"""Other candidates that are shown; JSON has all of them."""

_STDIN = "standard input"


def classify(
    text: Annotated[
        str | None, typer.Argument(help="The text; by default, it is read from --file, or from a pipe.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="File to read; the whole file is one text.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Each line of the file or pipe is a text.")] = False,
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
    """Print the label of a text, its confidence and the other candidates. Nothing is stored.

    Of a multi-label model, all labels are printed with their probabilities, or "none".

    Example: `classifier classify "The striker scored twice in the cup final."`
    """
    texts = read_texts(text, file, lines=lines, encoding=encoding)
    page = list(islice(texts, LINES))  # a text that cannot be read is reported before the model is loaded
    opened = open_model(model, engine)
    while page:
        results = opened.classify([line for _, line in page])
        for (number, _), result in zip(page, results, strict=True):
            if json:
                _print_json(opened, result, number if lines else None)
            elif lines:
                _print_line(result, number)
            else:
                _print_table(opened, result)
        sys.stdout.flush()
        page = list(islice(texts, LINES))


def open_model(model: str | None, engine: str) -> TextClassifier:
    """Load the model that `--model` names: a directory, or a registered model; by default, the champion."""
    name = engine_name(engine)
    from classifier.pipeline.labelling import classification

    if model is not None and is_directory(model):
        return classification.open_directory(Path(model).expanduser(), engine=name, home=settings.load().home)
    return classification.open_registered(open_workspace(), model, engine=name)


def is_directory(model: str) -> bool:
    """Return whether `--model` means a directory: a name of a model has no slash."""
    return "/" in model or model in {".", ".."} or (Path(model) / "classifier.json").is_file()


def read_texts(text: str | None, file: Path | None, *, lines: bool, encoding: str) -> Iterator[tuple[int, str]]:
    """Return the texts with their line numbers; blank lines are no texts."""
    if text is not None and (file is not None or lines):
        raise SettingsError(f"{'--file' if file else '--lines'}: cannot be combined with a text; leave one of them out")
    if text is not None:
        return iter([(1, _check(text, "the text"))])
    if file is None and sys.stdin.isatty():
        raise SettingsError('no text; write it in quotes, name a --file, or use a pipe: echo "TEXT" | classifier …')
    return _decode(file, encoding, lines=lines)


def _decode(file: Path | None, encoding: str, *, lines: bool) -> Iterator[tuple[int, str]]:
    name = str(file or _STDIN)
    try:
        stream: BinaryIO = file.open("rb") if file else sys.stdin.buffer
        with io.TextIOWrapper(*_known_encoding(name, stream, encoding)) as decoded:
            if not lines:
                yield 1, _check(decoded.read().strip(), name)
                return
            for number, line in enumerate(decoded, start=1):
                if line.strip():
                    yield number, _check(line.strip(), f"{name}, line {number}")
    except OSError as error:
        raise SourceError(f"{name}: cannot read ({error.strerror or error}); check the path") from error
    except UnicodeError as error:
        raise SourceError(f"{name}: not {encoding}; name its encoding, or use --encoding auto") from error


def _known_encoding(name: str, stream: BinaryIO, encoding: str) -> tuple[BinaryIO, str]:
    """Return a stream and its encoding; to detect it, the stream is read completely."""
    from classifier.ingest import decoding, file_format

    encoding = file_format.parse_encoding(encoding)
    if encoding == "auto":
        content = stream.read()
        stream, encoding = io.BytesIO(content), decoding.detect_encoding(name, [content])
    return stream, "utf-8-sig" if decoding.is_utf8(encoding) else encoding


def _check(text: str, name: str) -> str:
    """Return the text.

    Raises:
        SourceError: it is empty, or has bytes that are no characters.
    """
    if not text.strip():
        raise SourceError(f"{name}: empty; a text must have at least one word")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise SourceError(f"{name}: not UTF-8; write it to a file and use --file with --encoding auto")
    return text


def _print_json(opened: TextClassifier, result: Classification, line: int | None) -> None:
    values: dict[str, object] = {"label": result.label, "confidence": result.confidence, "abstained": result.abstained}
    details: dict[str, object] = {"threshold": opened.threshold}
    if opened.thresholds is not None:
        from classifier.model import decisions

        values = {"labels": list(result.labels or ()), "confidence": result.confidence}
        details = {"thresholds": decisions.lowest_thresholds(opened.names, opened.thresholds)}
    numbered = {} if line is None else {"line": line}
    render.print_json({**numbered, **values, **details, "candidates": result.candidates, "model": opened.model})


def _print_line(result: Classification, number: int) -> None:
    """Print the columns line, label, confidence and, if the model abstains, a word for it, separated by tabs.

    The labels of a multi-label model are written as in review sheets.
    """
    if result.labels is not None:
        from classifier.review import category_lists

        typer.echo(f"{number}\t{category_lists.format_categories(result.labels)}\t{result.confidence:.4f}")
        return
    abstained = "\tabstained" if result.abstained else ""
    typer.echo(f"{number}\t{result.label}\t{result.confidence:.4f}{abstained}")


def _print_table(opened: TextClassifier, result: Classification) -> None:
    table = render.make_table(f"{opened.model}, {opened.labeller.engine_name}", "", "")
    table.show_header = False
    if result.labels is None:
        table.add_row("label", result.label)
        table.add_row("confidence", f"{result.confidence:.4f}")
        limit = "" if opened.threshold is None else f", confidence below {opened.threshold:.4f}"
        table.add_row("abstained", f"yes{limit}" if result.abstained else "no")
        others = list(result.candidates.items())[1:]
    else:
        table.add_row("labels", "" if result.labels else result.label)
        for name in result.labels:
            table.add_row(f"  {name}", f"{result.candidates[name]:.4f}")
        others = [(name, value) for name, value in result.candidates.items() if name not in result.labels]
    table.add_section()
    for category, probability in others[:OTHERS]:
        table.add_row(category, f"{probability:.4f}")
    if (more := len(others) - OTHERS) > 0:
        table.add_row(f"and {more:,} more; --json has all", "")
    render.STDOUT.print(table)
