"""Frozen types shared by all layers.

An annotation comes from a person or a source, a prediction from a model: they have different types and tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

TokenIds = NDArray[np.int32]
"""Ids of word pieces, shape (articles, tokens), padded on the right."""

PaddingMask = NDArray[np.int32]
"""1 for a token of the text and 0 for padding, shape (articles, tokens)."""

CategoryIndices = NDArray[np.int64]
"""Positions in a model's tuple of categories, shape (articles,)."""

Probabilities = NDArray[np.float32]
"""Shape (articles, categories); each row sums to 1."""


@dataclass(frozen=True, slots=True)
class QueuedArticle:
    """An article that a worker has claimed; `revision` counts the changes of its text and title."""

    id: int
    revision: int
    text: str


@dataclass(frozen=True, slots=True)
class AnnotatedArticle:
    """An article with the category of the annotation that counts."""

    id: int
    text: str
    text_hash: bytes
    category: str


class Texts:
    """The texts of several sequences of articles. Each iteration reads them again, so none is kept in memory."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: Sequence[AnnotatedArticle]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        """Return the number of texts."""
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[str]:
        """Yield the text of each article."""
        return (article.text for articles in self._parts for article in articles)


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of a source that was not ingested; `row` is its content as JSON, truncated.

    `position` is where it was found, in the source's own terms: "line 17", "row 3".
    """

    source: str
    position: str
    reason: str
    row: str


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model: an immutable artefact and its row.

    Its probabilities are scaled by `temperature`. It abstains if its confidence is below `threshold`, never if None.
    """

    id: int
    name: str
    status: str
    artefact: str
    manifest_sha256: str
    categories: tuple[str, ...]
    temperature: float = 1.0
    threshold: float | None = None
