"""Parts of the test articles by source, length and month, in which a good average could hide a failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation.test_articles import Strings

LENGTHS = (0, 50, 150, 400, 1000)
"""First number of words of each slice by length: very short, short, a news story, long, very long."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The articles that have the value `name` in a dimension, as a mask over the test articles."""

    dimension: str
    name: str
    rows: NDArray[np.bool_]


class SlicedArticles(Protocol):
    """The columns of test articles that slices need, whatever their labels are."""

    @property
    def sources(self) -> Strings:
        """The source of each article."""

    @property
    def words(self) -> NDArray[np.int64]:
        """The number of words of each article."""

    @property
    def months(self) -> Strings:
        """The month of publication of each article."""

    def __len__(self) -> int:
        """Return the number of articles."""


def slices(articles: SlicedArticles) -> Iterator[Slice]:
    """Yield the slices of each dimension by name, and those by length from short to long."""
    yield from _by_value("source", articles.sources)
    indices = np.searchsorted(LENGTHS, articles.words, side="right") - 1
    for index in np.unique(indices):
        yield Slice("length", _length(int(index)), indices == index)
    yield from _by_value("month", articles.months)


def _by_value(dimension: str, values: Strings) -> Iterator[Slice]:
    for value in np.unique(values):
        yield Slice(dimension, str(value) or "unknown", values == value)


def _length(index: int) -> str:
    if index + 1 == len(LENGTHS):
        return f"{LENGTHS[index]} words and more"
    return f"{LENGTHS[index]} to {LENGTHS[index + 1] - 1} words"
