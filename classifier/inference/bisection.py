"""Label a page, and find by halving it the articles that break the model.

A fault of the machine (no memory, no device, no file) or of the whole model is never blamed on an article.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from classifier.articles import Probabilities

FAULTS = (MemoryError, OSError)
"""What the machine does, whatever it was asked."""

_QUOTED = 16  # characters of a text that a line may not repeat


class HasText(Protocol):
    """An article of ours, or a row of somebody else's table."""

    @property
    def text(self) -> Any:
        """A string."""


A = TypeVar("A", bound=HasText)


class TextLabeller(Protocol):
    """What turns texts into probabilities, in two steps for two threads: see `classifier.inference.labeller`."""

    def prepare(self, texts: Sequence[str]) -> Any:
        """Tokenise; may run while another page is in `run`."""

    def run(self, prepared: Any) -> Probabilities:
        """Return shape (texts, categories), in the texts' order."""


@dataclass(frozen=True, slots=True)
class FailedArticle(Generic[A]):
    """An article that the model cannot label."""

    article: A
    reason: str


@dataclass(frozen=True, slots=True)
class LabelledBatch(Generic[A]):
    """A page's outcome; `probabilities` has a row for each of `articles`."""

    articles: Sequence[A]
    probabilities: Probabilities
    broken: tuple[FailedArticle[A], ...] = ()


def prepare(labels: TextLabeller, articles: Sequence[HasText]) -> Any | None:
    """Tokenise a page, or return None where an article breaks that: `label` will find it."""
    try:
        return labels.prepare([article.text for article in articles])
    except FAULTS:
        raise
    except Exception:  # noqa: BLE001 - whatever the tokenizer raises, one article is the cause
        return None


def label(labels: TextLabeller, articles: Sequence[A], prepared: Any | None = None) -> LabelledBatch[A]:
    """Return the page's probabilities, less those of the articles that break the model."""
    try:
        ready = labels.prepare([article.text for article in articles]) if prepared is None else prepared
        return LabelledBatch(articles, labels.run(ready))
    except FAULTS:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the engine raises, one article is the cause
        if len(articles) == 1:
            _ask_for_a_harmless_text(labels, articles[0])
            return LabelledBatch(
                [], np.empty((0, 0), np.float32), (FailedArticle(articles[0], _reason(error, articles[0].text)),)
            )
    half = len(articles) // 2
    return _joined(label(labels, articles[:half]), label(labels, articles[half:]))


def _ask_for_a_harmless_text(labels: TextLabeller, article: HasText) -> None:
    """Raise what the model raises for any text, so that no article is blamed for it.

    The text is as long in word pieces as the article's at least: longer batches may lack memory alone.
    """
    labels.run(labels.prepare(["a" + " a" * (len(article.text) // 2)]))


def _joined(first: LabelledBatch[A], second: LabelledBatch[A]) -> LabelledBatch[A]:
    broken = (*first.broken, *second.broken)
    parts = [found for found in (first, second) if found.articles]
    if not parts:
        return LabelledBatch([], np.empty((0, 0), np.float32), broken)
    articles = [article for found in parts for article in found.articles]
    return LabelledBatch(articles, np.concatenate([found.probabilities for found in parts]), broken)


def _reason(error: Exception, text: str) -> str:
    """Return the error's first line, or its kind alone where the line quotes the article's text.

    It is what every database can keep: without NUL and halves of characters.
    """
    line = (str(error).replace("\0", "").splitlines() or [""])[0][:500].encode(errors="replace").decode()
    width = min(_QUOTED, len(text))
    if any(line[start : start + width] in text for start in range(len(line) - width + 1)):
        line = "(what it says quotes the text)"
    return f"{type(error).__name__}: {line}"
