"""Frozen types shared by all layers.

An annotation comes from a person or a source, a prediction from a model: they have different types and tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

TaskKind = Literal["single", "multi"]
"""Whether an article has exactly one category of a task, or any number of them."""

TokenIds = NDArray[np.int32]
"""Ids of word pieces, shape (articles, tokens), padded on the right."""

PaddingMask = NDArray[np.int32]
"""1 for a token of the text and 0 for padding, shape (articles, tokens)."""

CategoryIndices = NDArray[np.int64]
"""Positions in a model's tuple of categories, shape (articles,)."""

Probabilities = NDArray[np.float32]
"""Shape (articles, categories). For a single-label task each row sums to 1, for a multi-label task each entry is the
probability of its category alone."""

LabelMatrix = NDArray[np.bool_]
"""Whether an article has a category, shape (articles, categories)."""


@dataclass(frozen=True, slots=True)
class Task:
    """A question asked of articles. Its categories, annotations, models and labels are its own; articles are shared.

    A model of a multi-label task gives each article at least `min_labels` labels, 0 or 1.
    """

    id: int
    name: str
    kind: TaskKind = "single"
    min_labels: int = 1
    description: str = ""
    archived_at: datetime | None = None


def model_input(text: str, title: str | None, *, read_title: bool) -> str:
    """Return what a model reads of an article: the title, a blank line and the text; or the text alone.

    A title with which the text already begins is not repeated.
    """
    return f"{title}\n\n{text}" if read_title and title and not text.startswith(title) else text


@dataclass(frozen=True, slots=True)
class QueuedArticle:
    """An article that a worker has claimed; `revision` counts the changes of its text and title.

    `text` is what the worker's model reads: see `model_input`.
    """

    id: int
    revision: int
    text: str


@dataclass(frozen=True, slots=True)
class AnnotatedArticle:
    """An article with the categories of the annotation that counts: one of a single-label task, sorted otherwise.

    `text_hash` is the SHA-256 of the text; if the article has a title, of both. It does not depend on a model.
    """

    id: int
    text: str
    text_hash: bytes
    categories: tuple[str, ...]
    title: str | None = None

    @property
    def category(self) -> str:
        """The category of a single-label task."""
        (category,) = self.categories
        return category


class Texts:
    """What a model reads of several sequences of articles.

    Each iteration reads the articles again, so none is kept in memory. See `model_input` for `read_title`.
    """

    __slots__ = ("_parts", "_read_title")

    def __init__(self, *parts: Sequence[AnnotatedArticle], read_title: bool) -> None:
        self._parts, self._read_title = parts, read_title

    def __len__(self) -> int:
        """Return the number of texts."""
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[str]:
        """Yield the text of each article, with its title if the model reads titles."""
        return (
            model_input(article.text, article.title, read_title=self._read_title)
            for articles in self._parts
            for article in articles
        )


LABEL_SEPARATOR = ", "
"""Between the labels of an article where they are shown as one text."""

NO_LABELS = "none"
"""What is shown of an article that has no label of a multi-label task."""


def join_labels(labels: Sequence[str]) -> str:
    """Return the labels of an article as one text to show."""
    return LABEL_SEPARATOR.join(labels) or NO_LABELS


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
    A multi-label model has a threshold for each category instead, and never abstains. `present_names` has the name of
    today of each category; empty if all are as recorded. A model that `backs_off` answers a parent if one reaches the
    threshold; `tree` has the categories of today that have a parent, each with its parent.
    """

    id: int
    name: str
    status: str
    artefact: str
    manifest_sha256: str
    categories: tuple[str, ...]
    temperature: float = 1.0
    threshold: float | None = None
    kind: TaskKind = "single"
    thresholds: tuple[float, ...] | None = None
    min_labels: int = 1
    present_names: tuple[str, ...] = ()
    backs_off: bool = False
    tree: tuple[tuple[str, str], ...] = ()

    @property
    def parents(self) -> dict[str, str]:
        """The parents by which the model backs off; empty if it does not."""
        return dict(self.tree) if self.backs_off else {}

    @property
    def present_categories(self) -> tuple[str, ...]:
        """The name of today of each category, in the order of the probabilities; merged ones have the same name."""
        return self.present_names or self.categories
