"""Hold annotated articles whose titles and texts are in an unnamed temporary file, which is deleted with the process.

A million articles of 300 words are two gigabytes of text, and a training needs one text at a time. The file holds the
texts as they were at one moment, however long the training takes.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, overload

import numpy as np
from numpy.typing import NDArray

from classifier.articles import AnnotatedArticle
from classifier.exceptions import SettingsError

Fact = tuple[int, bytes, tuple[str, ...]]
"""An article's id, the hash of its text, and its categories."""


class TextFile:
    """An unnamed file, which is closed when the last reference to it is gone."""

    def __init__(self, file: IO[bytes]) -> None:
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, end: int) -> str:
        """Return the text between two byte positions."""
        return os.pread(self._descriptor, end - start, start).decode()


@dataclass(frozen=True, slots=True, eq=False)
class SpooledArticles(Sequence[AnnotatedArticle]):
    """Articles by position; an article's text is read from the file on access.

    `byte_ranges` are the positions in the file where each title starts, where its text starts, and where the text ends:
    shape (articles, 3). An article without a title has an empty one there.
    """

    file: TextFile
    ids: Sequence[int]
    text_hashes: Sequence[bytes]
    label_sets: Sequence[tuple[str, ...]]
    byte_ranges: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of articles."""
        return len(self.ids)

    @property
    def categories(self) -> list[str]:
        """The category of each article of a single-label task."""
        return [category for (category,) in self.label_sets]

    @overload
    def __getitem__(self, row: int) -> AnnotatedArticle: ...
    @overload
    def __getitem__(self, row: slice) -> SpooledArticles: ...

    def __getitem__(self, row: int | slice) -> AnnotatedArticle | SpooledArticles:
        """Return an article with its text, or a slice of the articles, whose texts stay in the file."""
        if isinstance(row, slice):
            return self.take(range(*row.indices(len(self))))
        start, middle, end = self.byte_ranges[row].tolist()
        title, text = self.file.read(start, middle) or None, self.file.read(middle, end)
        return AnnotatedArticle(self.ids[row], text, self.text_hashes[row], self.label_sets[row], title)

    def take(self, rows: Iterable[int]) -> SpooledArticles:
        """Return the articles of these positions."""
        chosen = list(rows)
        return SpooledArticles(
            self.file,
            [self.ids[row] for row in chosen],
            [self.text_hashes[row] for row in chosen],
            [self.label_sets[row] for row in chosen],
            self.byte_ranges[np.array(chosen, dtype=np.int64)],
        )


def spool(articles: Iterable[AnnotatedArticle], directory: Path) -> SpooledArticles:
    """Write the articles' titles and texts to a temporary file in the directory, and return the articles.

    The directory is not created: if it does not exist, the file is in its nearest existing ancestor.

    Raises:
        SettingsError: the disk is full, or the directory is not writable.
    """
    ids: list[int] = []
    hashes: list[bytes] = []
    interned: dict[tuple[str, ...], tuple[str, ...]] = {}  # keeps one tuple per label set, not one per article
    label_sets: list[tuple[str, ...]] = []
    middles: list[int] = []
    ends = [0]
    try:
        with tempfile.TemporaryFile(dir=_existing_ancestor(directory.expanduser())) as file:
            for article in articles:
                middles.append(ends[-1] + file.write((article.title or "").encode()))
                ends.append(middles[-1] + file.write(article.text.encode()))
                ids.append(article.id)
                hashes.append(article.text_hash)
                label_sets.append(interned.setdefault(article.categories, article.categories))
            file.flush()
            texts = TextFile(file)
    except OSError as error:
        raise SettingsError(
            f"{directory}: cannot write the articles' texts ({error.strerror}); make room, or set CLASSIFIER_HOME"
        ) from error
    byte_ranges = np.stack([ends[:-1], middles, ends[1:]], axis=1).astype(np.int64)
    return SpooledArticles(texts, ids, hashes, label_sets, byte_ranges)


def _existing_ancestor(directory: Path) -> Path:
    """Return the directory or, if it does not exist, its nearest existing ancestor."""
    return next(path for path in (directory, *directory.parents) if path.exists())


def facts(articles: Iterable[AnnotatedArticle]) -> Iterator[Fact]:
    """Yield the id, text hash and categories of each article, without reading its text."""
    if isinstance(articles, SpooledArticles):
        yield from zip(articles.ids, articles.text_hashes, articles.label_sets, strict=True)
    else:
        yield from ((article.id, article.text_hash, article.categories) for article in articles)


def categories_of(articles: Sequence[AnnotatedArticle]) -> Sequence[str]:
    """Return the category of each article of a single-label task, without reading their texts."""
    return articles.categories if isinstance(articles, SpooledArticles) else [article.category for article in articles]


def label_sets_of(articles: Sequence[AnnotatedArticle]) -> Sequence[tuple[str, ...]]:
    """Return the categories of each article, without reading their texts."""
    return articles.label_sets if isinstance(articles, SpooledArticles) else [each.categories for each in articles]
