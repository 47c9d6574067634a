"""Annotated articles whose texts lie in a file without a name, which goes with the process.

A million articles of 300 words are two gigabytes of text, and every step of a training needs one text at a time.
The file holds them as they were at one moment, however long the training takes.
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

Fact = tuple[int, bytes, str]
"""An article's id, the hash of its text, and its category."""


class TextFile:
    """A file without a name; it is closed when nobody has it any more."""

    def __init__(self, file: IO[bytes]) -> None:
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, start: int, end: int) -> str:
        """Return the text from one byte up to another."""
        return os.pread(self._descriptor, end - start, start).decode()


@dataclass(frozen=True, slots=True, eq=False)
class SpooledArticles(Sequence[AnnotatedArticle]):
    """Articles by position; each text is read from the file when its article is asked for.

    `places` are the first byte of each text in the file and the one behind its last, shape (articles, 2).
    """

    file: TextFile
    ids: Sequence[int]
    text_hashes: Sequence[bytes]
    categories: Sequence[str]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of articles."""
        return len(self.ids)

    @overload
    def __getitem__(self, row: int) -> AnnotatedArticle: ...
    @overload
    def __getitem__(self, row: slice) -> SpooledArticles: ...

    def __getitem__(self, row: int | slice) -> AnnotatedArticle | SpooledArticles:
        """Return an article, or some of them, whose texts stay in the file."""
        if isinstance(row, slice):
            return self.take(range(*row.indices(len(self))))
        start, end = self.places[row].tolist()
        text = self.file.read(start, end)
        return AnnotatedArticle(self.ids[row], text, self.text_hashes[row], self.categories[row])

    def take(self, rows: Iterable[int]) -> SpooledArticles:
        """Return the articles of these positions."""
        chosen = list(rows)
        return SpooledArticles(
            self.file,
            [self.ids[row] for row in chosen],
            [self.text_hashes[row] for row in chosen],
            [self.categories[row] for row in chosen],
            self.places[np.array(chosen, dtype=np.int64)],
        )


def spool(articles: Iterable[AnnotatedArticle], directory: Path) -> SpooledArticles:
    """Write the articles' texts to a file of the folder's disk, one after the other.

    The folder is not created: if it does not exist, the file is in its nearest ancestor that does.

    Raises:
        SettingsError: the disk is full, or the folder cannot be written to.
    """
    ids: list[int] = []
    hashes: list[bytes] = []
    names: dict[str, str] = {}  # a category once, not once an article
    categories: list[str] = []
    ends = [0]
    try:
        with tempfile.TemporaryFile(dir=_existing_ancestor(directory.expanduser())) as writing:
            for article in articles:
                ends.append(ends[-1] + writing.write(article.text.encode()))
                ids.append(article.id)
                hashes.append(article.text_hash)
                categories.append(names.setdefault(article.category, article.category))
            writing.flush()
            file = TextFile(writing)
    except OSError as error:
        raise SettingsError(
            f"{directory}: cannot write the articles' texts ({error.strerror}); make room, or set CLASSIFIER_HOME"
        ) from error
    places = np.stack([ends[:-1], ends[1:]], axis=1).astype(np.int64)
    return SpooledArticles(file, ids, hashes, categories, places)


def _existing_ancestor(directory: Path) -> Path:
    """Return the folder itself or, if it does not exist, the nearest folder above it that does."""
    return next(path for path in (directory, *directory.parents) if path.exists())


def facts(articles: Iterable[AnnotatedArticle]) -> Iterator[Fact]:
    """Yield what is known of each article beside its text, without reading it."""
    if isinstance(articles, SpooledArticles):
        yield from zip(articles.ids, articles.text_hashes, articles.categories, strict=True)
    else:
        yield from ((article.id, article.text_hash, article.category) for article in articles)


def categories_of(articles: Sequence[AnnotatedArticle]) -> Sequence[str]:
    """Return the articles' categories, without reading a text."""
    return articles.categories if isinstance(articles, SpooledArticles) else [one.category for one in articles]
