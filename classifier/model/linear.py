"""A linear classifier on TF-IDF: the honest baseline of every evaluation, and what a network can be blended with.

Word 1- and 2-grams, sublinear term frequency, at least two documents a term, and a support vector machine for each
category against all others (scikit-learn's LinearSVC). It trains in seconds. Its files are JSON and safetensors.

For who wrote a text rather than what it is about there is another kind, which counts a style: words and punctuation as
they stand, character n-grams, and character n-grams of a text in which only frequent words can be read, so that it
matters little what the text is about (text distortion: Stamatatos, 2017).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from classifier.exceptions import ArtefactError
from classifier.model.slices import slices

TERMS_FILE = "linear.terms.json"
WEIGHTS_FILE = "linear.safetensors"

Scores = NDArray[np.float64]
"""Signed distances from each category's boundary, shape (texts, categories)."""

KINDS = ("linear", "style")
"""The one counts words, for what a text is about; the other what tells who wrote it."""

DENSE = 64_000_000
"""Coefficients, terms by categories, up to which they are trained together and are a dense array: 256 MB as float32."""

LARGEST = 200_000_000
"""Coefficients at most: with so many categories that there would be more, the most frequent terms alone count."""

PRUNED = 0.01
"""By how much a score may move where coefficients are kept sparse; the distance between two boundaries is about 1."""

_CHARACTERS = 8_000_000  # of the texts that are counted at once

_FEW = 20
"""Texts below which a term may be in one alone: two documents a term are not to be had in a handful."""

_FREQUENT = 500
"""Words that a distorted text still has."""

_WORD_OR_MARK = r"\w+|[^\w\s]"
_WORD = re.compile(r"[^\W\d_]+|\d+")


class TextSource(Protocol):
    """Texts that can be read again and again, and need not be in memory."""

    def __len__(self) -> int:
        """Return the number of texts."""

    def __iter__(self) -> Iterator[str]:
        """Return the texts, from the first one on."""


@dataclass(frozen=True, slots=True)
class LinearClassifier:
    """A trained classifier; `coefficients` are (terms, categories), dense or a sparse array, `intercept` (categories,).

    Attributes:
        categories: Its categories, in the order of the scores' columns.
        kind: One of `KINDS`.
        frequent: The words that a style's distorted texts still have.
        vectorizers: That kind's, in the order of the terms. Each one's counts of a text have length 1.
    """

    categories: tuple[str, ...]
    kind: str
    frequent: tuple[str, ...]
    vectorizers: tuple[Any, ...]
    coefficients: Any
    intercept: NDArray[np.floating[Any]]

    def scores(self, texts: Iterable[str]) -> Scores:
        """Return each text's scores; they depend on that text alone, bit by bit."""
        return np.concatenate([np.empty((0, len(self.categories))), *self._scores(texts)])

    def predict(self, texts: Iterable[str]) -> list[str]:
        """Return each text's category of the highest score."""
        return [self.categories[column] for scores in self._scores(texts) for column in scores.argmax(axis=1)]

    def _scores(self, texts: Iterable[str]) -> Iterator[Scores]:
        """Yield the scores of some texts after the other."""
        for some in slices(texts, _CHARACTERS):
            counted = _side_by_side([one.transform(some) for one in self.vectorizers])
            found = counted @ self.coefficients
            dense = found.toarray() if hasattr(found, "toarray") else found
            yield np.asarray(dense + self.intercept, dtype=np.float64)

    def to_files(self) -> dict[str, bytes]:
        """Return the content of its files by name; the coefficients as float32, without zeros where most are zero."""
        weights = {
            **_packed(self.coefficients),
            "intercept": np.ascontiguousarray(self.intercept, dtype=np.float32),
            "idf": np.concatenate([one.idf_ for one in self.vectorizers]).astype(np.float64),
        }
        terms: Any = [list(one.get_feature_names_out()) for one in self.vectorizers]
        said = terms[0] if self.kind == "linear" else {"frequent": self.frequent, "terms": terms}
        return {TERMS_FILE: json.dumps(said, ensure_ascii=False).encode(), WEIGHTS_FILE: save(weights)}


def fit_linear(texts: TextSource, categories: Sequence[str], kind: str = "linear") -> LinearClassifier:
    """Train on texts with their categories.

    Where the coefficients would be more than `DENSE` numbers, one category is trained after the other and what
    remains of its coefficients is kept sparse: all categories' together would take gigabytes. They are no more than
    `LARGEST`.

    Raises:
        ValueError: no term occurs in two texts, or all are of one category.
    """
    frequent = _most_frequent(texts) if kind == "style" else ()
    names = np.unique(np.asarray(categories))
    most = max(1, LARGEST // len(names) // (1 if kind == "linear" else 3))
    vectorizers = _vectorizers(kind, frequent, min_df=2 if len(texts) >= _FEW else 1, max_features=most)
    counted = _side_by_side([one.fit_transform(texts) for one in vectorizers])
    together = len(names) * counted.shape[1] <= DENSE or len(names) < 3
    coefficients, intercept = (_all_at_once if together else _one_by_one)(counted, np.asarray(categories))
    return LinearClassifier(tuple(map(str, names)), kind, frequent, vectorizers, coefficients, intercept)


def _all_at_once(counted: Any, categories: NDArray[np.str_]) -> tuple[Any, Any]:
    from sklearn.svm import LinearSVC

    machine = LinearSVC(random_state=0).fit(counted, categories)
    coefficients, intercept = machine.coef_.T, np.atleast_1d(machine.intercept_)
    if len(machine.classes_) == 2:  # scikit-learn has one boundary then, the second category's
        return np.hstack([-coefficients, coefficients]), np.hstack([-intercept, intercept])
    return coefficients, intercept


def _one_by_one(counted: Any, categories: NDArray[np.str_]) -> tuple[Any, Any]:
    """Train each category against all others; the same problems as all at once, solved in another random order."""
    from scipy.sparse import csc_array
    from sklearn.svm import LinearSVC

    rows, values, intercept, ends = [], [], [], [0]
    names = np.unique(categories)
    for name in names:
        machine = LinearSVC(random_state=0).fit(counted, categories == name)
        kept = _kept(machine.coef_[0])
        rows.append(kept.astype(np.int32))
        values.append(machine.coef_[0][kept].astype(np.float32))
        intercept.append(float(machine.intercept_[0]))
        ends.append(ends[-1] + len(kept))
    data, indices = np.concatenate(values), np.concatenate(rows)
    del values, rows  # before there is another copy
    columns = csc_array((data, indices, np.array(ends)), shape=(counted.shape[1], len(names)))
    return columns.tocsr(), np.array(intercept, dtype=np.float32)  # as they are written


def _kept(coefficients: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the positions of all but the smallest coefficients, whose length as a vector is `PRUNED` at most.

    A text's counts are a vector of length 1 (of a style, three such), so no score moves by more than that.
    """
    order = np.argsort(np.abs(coefficients))
    lengths = np.sqrt(np.cumsum(coefficients[order] ** 2))
    return np.sort(order[np.searchsorted(lengths, PRUNED, side="right") :])


def from_files(files: dict[str, bytes], categories: tuple[str, ...], kind: str = "linear") -> LinearClassifier:
    """Take back what `to_files` returned.

    Raises:
        ArtefactError: they are not a linear classifier's of these categories.
    """
    try:
        said, weights = json.loads(files[TERMS_FILE]), load(files[WEIGHTS_FILE])
        frequent, terms = ((), [said]) if kind == "linear" else (tuple(said["frequent"]), said["terms"])
        idf, intercept = (weights[name] for name in ("idf", "intercept"))
        ends = np.cumsum([len(some) for some in terms])
        coefficients = _unpacked(weights, (int(ends[-1]), len(categories)))
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ArtefactError(f"{WEIGHTS_FILE}, {TERMS_FILE}: not a linear classifier ({error!r})") from error
    if (ends[-1], len(categories)) != coefficients.shape or idf.shape != (ends[-1],):
        raise ArtefactError(f"{WEIGHTS_FILE}: not of {ends[-1]} terms and {len(categories)} categories")
    vectorizers = _vectorizers(kind, frequent)
    for one, some, weights_of_some in zip(vectorizers, terms, np.split(idf, ends[:-1]), strict=True):
        one.set_params(vocabulary={term: column for column, term in enumerate(some)})
        one.idf_ = weights_of_some
    return LinearClassifier(categories, kind, frequent, vectorizers, coefficients, intercept)


def _packed(coefficients: Any) -> dict[str, NDArray[Any]]:
    """Return the coefficients as they are written: row by row without the zeros, where that is shorter."""
    from scipy.sparse import csr_array

    nonzero = coefficients.nnz if hasattr(coefficients, "nnz") else np.count_nonzero(coefficients)
    if 2 * nonzero >= np.prod(coefficients.shape):
        dense = coefficients.toarray() if hasattr(coefficients, "toarray") else coefficients
        return {"coefficients": np.ascontiguousarray(dense, dtype=np.float32)}
    sparse = csr_array(coefficients).astype(np.float32, copy=False)
    return {
        "data": sparse.data,
        "indices": sparse.indices.astype(np.int32, copy=False),
        "indptr": sparse.indptr.astype(np.int64),
    }


def _unpacked(weights: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> Any:
    """Take the coefficients back, dense where they are few: so texts are scored faster, to the same bits."""
    from scipy.sparse import csr_array

    if "indptr" not in weights:
        return weights["coefficients"]
    sparse = csr_array(tuple(weights[name] for name in ("data", "indices", "indptr")), shape=shape)
    sparse.check_format(full_check=True)
    return sparse.toarray() if np.prod(shape) <= DENSE else sparse


def read_linear(directory: Path, categories: tuple[str, ...], kind: str = "linear") -> LinearClassifier:
    """Read the files of a model's directory, whose hashes were checked.

    Raises:
        ArtefactError: they are not a linear classifier's.
    """
    return from_files({name: (directory / name).read_bytes() for name in (TERMS_FILE, WEIGHTS_FILE)}, categories, kind)


def distorted(text: str, frequent: frozenset[str]) -> str:
    """Return the text with a `*` for each letter of any other word, and a `#` for each digit."""

    def masked(found: re.Match[str]) -> str:
        word = found[0]
        return "#" * len(word) if word.isdigit() else word if word.lower() in frequent else "*" * len(word)

    return _WORD.sub(masked, text)


def _most_frequent(texts: Iterable[str]) -> tuple[str, ...]:
    counts = Counter(word for text in texts for word in _WORD.findall(text.lower()) if not word.isdigit())
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:_FREQUENT])


def _vectorizers(kind: str, frequent: Sequence[str], **how: Any) -> tuple[Any, ...]:
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second to import

    vectorizer = partial(TfidfVectorizer, sublinear_tf=True, **how)
    if kind == "linear":
        return (vectorizer(ngram_range=(1, 2)),)
    return (
        vectorizer(ngram_range=(1, 2), token_pattern=_WORD_OR_MARK, lowercase=False),
        vectorizer(ngram_range=(2, 4), analyzer="char", lowercase=False),
        vectorizer(ngram_range=(3, 5), analyzer="char", preprocessor=partial(distorted, frequent=frozenset(frequent))),
    )


def _side_by_side(counts: list[Any]) -> Any:
    from scipy.sparse import hstack

    return counts[0] if len(counts) == 1 else hstack(counts, format="csr")
