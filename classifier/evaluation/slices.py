"""Parts of the test articles that a good average could hide a failure in: by source, length and month."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.evaluation.test_articles import Strings, TestArticles

LENGTHS = (0, 50, 150, 400, 1000)
"""Words from which a slice of the length begins: brief, short, a news story, long, very long."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The articles that have `name` in a dimension, as a mask over the sample."""

    dimension: str
    name: str
    rows: NDArray[np.bool_]


def slices(sample: TestArticles) -> Iterator[Slice]:
    """Yield the slices of each dimension by name; those of length by length."""
    yield from _of("source", sample.sources)
    places = np.searchsorted(LENGTHS, sample.words, side="right") - 1
    for place in np.unique(places):
        yield Slice("length", _length(int(place)), places == place)
    yield from _of("month", sample.months)


def _of(dimension: str, values: Strings) -> Iterator[Slice]:
    for value in np.unique(values):
        yield Slice(dimension, str(value) or "not known", values == value)


def _length(place: int) -> str:
    if place + 1 == len(LENGTHS):
        return f"{LENGTHS[place]} words and more"
    return f"{LENGTHS[place]} to {LENGTHS[place + 1] - 1} words"
