"""Label a batch of articles, and find the articles that break the model by halving the batch.

An article is never blamed for a fault of the machine (memory, device, files) or of the model itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from classifier.articles import Probabilities

FAULTS = (MemoryError, OSError)
"""Errors of the machine, whichever text the model was given."""

_MAX_QUOTED = 16  # characters of a text that an error message may not repeat


class HasText(Protocol):
    """An article of this database, or a row of an external table."""

    @property
    def text(self) -> Any:
        """A string."""


A = TypeVar("A", bound=HasText)


class TextLabeller(Protocol):
    """An object that turns texts into probabilities, in two steps for two threads: see `Labeller`."""

    def prepare(self, texts: Sequence[str]) -> Any:
        """Tokenize texts; may run in one thread while `run` computes other texts in another."""

    def run(self, prepared: Any) -> Probabilities:
        """Return the probabilities in the texts' order, shape (texts, categories)."""


@dataclass(frozen=True, slots=True)
class FailedArticle(Generic[A]):
    """An article that the model cannot label."""

    article: A
    reason: str


@dataclass(frozen=True, slots=True)
class LabelledBatch(Generic[A]):
    """The articles that were labelled, with a row of `probabilities` each, and those that were not."""

    articles: Sequence[A]
    probabilities: Probabilities
    failed: tuple[FailedArticle[A], ...] = ()


def prepare_articles(labeller: TextLabeller, articles: Sequence[HasText]) -> Any | None:
    """Tokenize a batch; return None if an article breaks the tokenizer: `label_articles` then finds it."""
    try:
        return labeller.prepare([article.text for article in articles])
    except FAULTS:
        raise
    except Exception:  # noqa: BLE001 - whatever the tokenizer raises, one article is the cause
        return None


def label_articles(labeller: TextLabeller, articles: Sequence[A], prepared: Any | None = None) -> LabelledBatch[A]:
    """Return the batch's probabilities, without those of the articles that break the model."""
    try:
        ready = labeller.prepare([article.text for article in articles]) if prepared is None else prepared
        return LabelledBatch(articles, labeller.run(ready))
    except FAULTS:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the engine raises, one article is the cause
        if len(articles) == 1:
            _label_harmless_text(labeller, articles[0])
            failed = FailedArticle(articles[0], _reason(error, articles[0].text))
            return LabelledBatch([], np.empty((0, 0), np.float32), (failed,))
    half = len(articles) // 2
    return _joined(label_articles(labeller, articles[:half]), label_articles(labeller, articles[half:]))


def _label_harmless_text(labeller: TextLabeller, article: HasText) -> None:
    """Label a text that cannot be at fault, and so raise what the model raises for every text.

    The text has at least as many word pieces as the article, because only long batches may exhaust the memory.
    """
    labeller.run(labeller.prepare(["a" + " a" * (len(article.text) // 2)]))


def _joined(first: LabelledBatch[A], second: LabelledBatch[A]) -> LabelledBatch[A]:
    failed = (*first.failed, *second.failed)
    halves = [half for half in (first, second) if half.articles]
    if not halves:
        return LabelledBatch([], np.empty((0, 0), np.float32), failed)
    articles = [article for half in halves for article in half.articles]
    return LabelledBatch(articles, np.concatenate([half.probabilities for half in halves]), failed)


def _reason(error: Exception, text: str) -> str:
    """Return the error's class and first line, or only the class if the line quotes the article's text.

    NUL and unpaired surrogates are removed, because databases cannot store them.
    """
    line = (str(error).replace("\0", "").splitlines() or [""])[0][:500].encode(errors="replace").decode()
    width = min(_MAX_QUOTED, len(text))
    if any(line[start : start + width] in text for start in range(len(line) - width + 1)):
        line = "(the message quotes the text)"
    return f"{type(error).__name__}: {line}"
