"""What each word of a text adds to the scores of a linear classifier: exact, because a score is a sum over terms.

A term adds its coefficient times its weight in the text. Each of its occurrences gets an equal share of that. The two
words of a pair share equally, and a sequence of characters shares by the characters in each word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.model import linear
from classifier.model.linear import LinearClassifier
from classifier.model.term_positions import LocatedTerms
from classifier.model.words import Spans

_OCCURRENCES = 200_000  # that are in memory at a time

_OCCURRENCE = np.dtype([("term", np.int64), ("start", np.int64), ("end", np.int64), ("share", np.float64)])


@dataclass(frozen=True, slots=True, eq=False)
class Contributions:
    """What the words, shape (words, columns), and the intercepts, shape (columns,), add to weighted sums of scores."""

    words: NDArray[np.float64]
    constants: NDArray[np.float64]


def contributions(classifier: LinearClassifier, text: str, words: Spans, weights: NDArray[np.float64]) -> Contributions:
    """Return what a text's words add to `scores @ weights`, where `weights` are (categories, columns).

    The words' figures and the constants add up to it exactly, except for rounding.
    """
    letters = _Letters.of(text, words)
    total = np.zeros((len(words), weights.shape[1]))
    first_row = 0
    for vectorizer, locate in zip(classifier.vectorizers, linear.locators(classifier), strict=True):
        vector = vectorizer.transform([text])
        added = vector.data[:, None] * (classifier.coefficients[first_row + vector.indices] @ weights)
        first_row += len(vectorizer.vocabulary_)
        rows = {int(column): row for row, column in enumerate(vector.indices)}
        vocabulary = vectorizer.vocabulary_
        total += letters.distribute(locate(text), lambda term, of=vocabulary, to=rows: to.get(of.get(term, -1)), added)
    return Contributions(total, np.asarray(classifier.intercept, dtype=np.float64) @ weights)


@dataclass(frozen=True, slots=True, eq=False)
class _Letters:
    """The characters of a text that are in words, numbered consecutively.

    Attributes:
        before: For each position of the text, the number of such characters before it.
        starts: The number of the first character of each word.
    """

    before: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, text: str, words: Spans) -> _Letters:
        changes = np.zeros(len(text) + 1, dtype=np.int64)
        np.add.at(changes, words[:, 0], 1)
        np.add.at(changes, words[:, 1], -1)
        before = np.concatenate([[0], np.cumsum(np.cumsum(changes)[:-1])])
        return cls(before, before[words[:, 0]])

    def distribute(self, located: LocatedTerms, row_of: Any, added: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each word gets of what the terms add, `added` (terms, columns)."""
        if not len(self.starts) or not len(added):
            return np.zeros((len(self.starts), added.shape[1]))
        counts = np.zeros(len(added))
        for part in _slices(located, row_of):
            counts += np.bincount(part["term"], part["share"], minlength=len(added))
        changes = np.zeros((int(self.before[-1]) + 1, added.shape[1]))
        for part in _slices(located, row_of):
            starts = self.before[located.origin[part["start"]]]
            ends = self.before[located.origin[part["end"] - 1] + 1]
            shares = part["share"] / counts[part["term"]] / np.maximum(ends - starts, 1)
            of_letters = added[part["term"]] * shares[:, None]
            np.add.at(changes, starts, of_letters)
            np.subtract.at(changes, ends, of_letters)
        return np.add.reduceat(np.cumsum(changes, axis=0)[:-1], self.starts, axis=0)


def _slices(located: LocatedTerms, row_of: Any) -> Iterator[NDArray[Any]]:
    """Yield the occurrences of the terms that have a row, each with its share of one occurrence."""
    occurrences = (
        (row, start, end, 1 / len(parts))
        for term, parts in located.occurrences()
        if (row := row_of(term)) is not None
        for start, end in parts
    )
    while len(part := np.fromiter(islice(occurrences, _OCCURRENCES), dtype=_OCCURRENCE)):
        yield part
