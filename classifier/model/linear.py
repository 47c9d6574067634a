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
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from classifier.exceptions import ArtefactError

TERMS_FILE = "linear.terms.json"
WEIGHTS_FILE = "linear.safetensors"

Scores = NDArray[np.float64]
"""Signed distances from each category's boundary, shape (texts, categories)."""

KINDS = ("linear", "style")
"""The one counts words, for what a text is about; the other what tells who wrote it."""

_FEW = 20
"""Texts below which a term may be in one alone: two documents a term are not to be had in a handful."""

_FREQUENT = 500
"""Words that a distorted text still has."""

_WORD_OR_MARK = r"\w+|[^\w\s]"
_WORD = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True, slots=True)
class Linear:
    """A trained classifier; `coefficients` are (terms, categories), `intercept` (categories,).

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
    coefficients: NDArray[np.floating[Any]]
    intercept: NDArray[np.floating[Any]]

    def scores(self, texts: Sequence[str]) -> Scores:
        """Return each text's scores; they depend on that text alone, bit by bit."""
        counted = _side_by_side([one.transform(texts) for one in self.vectorizers])
        return np.asarray(counted @ self.coefficients + self.intercept, dtype=np.float64)

    def to_files(self) -> dict[str, bytes]:
        """Return the content of its files by name; the coefficients as float32."""
        weights = {
            "coefficients": np.ascontiguousarray(self.coefficients, dtype=np.float32),
            "intercept": np.ascontiguousarray(self.intercept, dtype=np.float32),
            "idf": np.concatenate([one.idf_ for one in self.vectorizers]).astype(np.float64),
        }
        terms: Any = [list(one.get_feature_names_out()) for one in self.vectorizers]
        said = terms[0] if self.kind == "linear" else {"frequent": self.frequent, "terms": terms}
        return {TERMS_FILE: json.dumps(said, ensure_ascii=False).encode(), WEIGHTS_FILE: save(weights)}


def fit(texts: Sequence[str], categories: Sequence[str], kind: str = "linear") -> Linear:
    """Train on texts with their categories.

    Raises:
        ValueError: no term occurs in two texts, or all are of one category.
    """
    from sklearn.svm import LinearSVC

    frequent = _most_frequent(texts) if kind == "style" else ()
    vectorizers = _vectorizers(kind, frequent, min_df=2 if len(texts) >= _FEW else 1)
    counted = _side_by_side([one.fit_transform(texts) for one in vectorizers])
    machine = LinearSVC(random_state=0).fit(counted, categories)
    coefficients, intercept = machine.coef_.T, np.atleast_1d(machine.intercept_)
    if len(machine.classes_) == 2:  # scikit-learn has one boundary then, the second category's
        coefficients, intercept = np.hstack([-coefficients, coefficients]), np.hstack([-intercept, intercept])
    return Linear(tuple(map(str, machine.classes_)), kind, frequent, vectorizers, coefficients, intercept)


def from_files(files: dict[str, bytes], categories: tuple[str, ...], kind: str = "linear") -> Linear:
    """Take back what `to_files` returned.

    Raises:
        ArtefactError: they are not a linear classifier's of these categories.
    """
    try:
        said, weights = json.loads(files[TERMS_FILE]), load(files[WEIGHTS_FILE])
        frequent, terms = ((), [said]) if kind == "linear" else (tuple(said["frequent"]), said["terms"])
        idf, coefficients, intercept = (weights[name] for name in ("idf", "coefficients", "intercept"))
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ArtefactError(f"{WEIGHTS_FILE}, {TERMS_FILE}: not a linear classifier ({error!r})") from error
    ends = np.cumsum([len(some) for some in terms])
    if (ends[-1], len(categories)) != coefficients.shape or idf.shape != (ends[-1],):
        raise ArtefactError(f"{WEIGHTS_FILE}: not of {ends[-1]} terms and {len(categories)} categories")
    vectorizers = _vectorizers(kind, frequent)
    for one, some, weights_of_some in zip(vectorizers, terms, np.split(idf, ends[:-1]), strict=True):
        one.set_params(vocabulary={term: column for column, term in enumerate(some)})
        one.idf_ = weights_of_some
    return Linear(categories, kind, frequent, vectorizers, coefficients, intercept)


def read(directory: Path, categories: tuple[str, ...], kind: str = "linear") -> Linear:
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


def _most_frequent(texts: Sequence[str]) -> tuple[str, ...]:
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
