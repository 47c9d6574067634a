"""Weighted counts of a text's terms, with the bits of scikit-learn's `TfidfVectorizer`.

scikit-learn trains a linear classifier, but a trained one does not need it: importing it takes seconds, which a person
who classifies one text would wait for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Analyzer = Callable[[str], Iterator[str]]
"""A function that yields the terms of a text, in any order and as often as they occur."""

_SPACES = re.compile(r"\s\s+")


def words(pattern: str, *, lowercase: bool) -> Analyzer:
    """Return a function that yields the words of a text, which match the pattern, and the pairs of neighbours."""
    find_words = re.compile(pattern).findall

    def analyze(text: str) -> Iterator[str]:
        singles = find_words(text.lower() if lowercase else text)
        yield from singles
        yield from map(" ".join, pairwise(singles))

    return analyze


def characters(shortest: int, longest: int, preprocess: Callable[[str], str] = str) -> Analyzer:
    """Return a function that yields a text's sequences of characters; white space counts as one character."""

    def analyze(text: str) -> Iterator[str]:
        content = _SPACES.sub(" ", preprocess(text))
        for length in range(shortest, longest + 1):
            yield from (content[start : start + length] for start in range(len(content) - length + 1))

    return analyze


@dataclass(frozen=True, slots=True)
class TermVectorizer:
    """A fitted vectorizer; its attributes and methods have scikit-learn's names.

    Attributes:
        analyze: Yields the terms of a text.
        vocabulary_: The column of each term.
        idf_: The weight of each column.
    """

    analyze: Analyzer
    vocabulary_: Mapping[str, int]
    idf_: NDArray[np.float64]

    def get_feature_names_out(self) -> list[str]:
        """Return the terms in the order of their columns."""
        return list(self.vocabulary_)

    def transform(self, texts: Sequence[str]) -> Any:
        """Return a sparse array (texts, terms) whose rows have length 1, or 0 if no term is known."""
        from scipy.sparse import csr_array

        rows = [self._weights(text) for text in texts]
        ends = np.cumsum([0, *(len(columns) for columns, _ in rows)])
        columns = np.concatenate([np.empty(0, np.int32), *(columns for columns, _ in rows)])
        weights = np.concatenate([np.empty(0), *(weights for _, weights in rows)])
        return csr_array((weights, columns, ends), shape=(len(rows), len(self.vocabulary_)))

    def _weights(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the columns of a text's terms, in ascending order, and their weights."""
        counts: dict[int, int] = {}
        for term in self.analyze(text):
            column = self.vocabulary_.get(term)
            if column is not None:
                counts[column] = counts.get(column, 0) + 1
        columns = np.array(sorted(counts), dtype=np.int32)
        weights = np.log(np.array([counts[column] for column in columns.tolist()], dtype=np.float64)) + 1
        weights *= self.idf_[columns]
        if len(weights):
            # the sum of the squares in this order: NumPy's sum adds pairs, which gives other bits
            weights /= np.sqrt(np.add.accumulate(weights * weights)[-1])
        return columns, weights
