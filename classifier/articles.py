"""The frozen types that travel between the layers.

An annotation is a human's label and a prediction is a model's: they are never the same type, nor
the same table.
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
"""Word-piece ids, shape (articles, tokens), padded on the right."""

PaddingMask = NDArray[np.int32]
"""1 where a token is text and 0 where it is padding, shape (articles, tokens)."""

CategoryIndices = NDArray[np.int64]
"""Positions in a model's tuple of categories, shape (articles,)."""

Probabilities = NDArray[np.float32]
"""One row an article, one column a category; rows add up to 1. Shape (articles, categories)."""


@dataclass(frozen=True, slots=True)
class QueuedArticle:
    """An article that a labeller has claimed; `revision` counts the changes of its text."""

    id: int
    revision: int
    text: str


@dataclass(frozen=True, slots=True)
class AnnotatedArticle:
    """An article with the category that a human gave it."""

    id: int
    text: str
    text_hash: bytes
    category: str


class Texts:
    """The texts of articles, one after the other; none is kept, and each pass reads them again."""

    __slots__ = ("_parts",)

    def __init__(self, *parts: Sequence[AnnotatedArticle]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        """Return the number of texts."""
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[str]:
        """Return each article's text."""
        return (article.text for articles in self._parts for article in articles)


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of a source that was not taken in; `row` is the row itself as JSON, cut at a length.

    `position` says where it stood, in the source's own terms: "line 17", "row 3".
    """

    source: str
    position: str
    reason: str
    row: str


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model: an immutable artefact and its row.

    Its confidence is at `temperature`; below `threshold` it abstains, None for never.
    """

    id: int
    name: str
    status: str
    artefact: str
    manifest_sha256: str
    categories: tuple[str, ...]
    temperature: float = 1.0
    threshold: float | None = None
