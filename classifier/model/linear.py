"""A linear classifier on TF-IDF: the honest baseline of every evaluation, and what a network can be blended with.

Word 1- and 2-grams, sublinear term frequency, at least two documents a term, and a support vector machine for each
category against all others (scikit-learn's LinearSVC). It trains in seconds. Its files are JSON and safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
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

_FEW = 20
"""Texts below which a term may be in one alone: two documents a term are not to be had in a handful."""


@dataclass(frozen=True, slots=True)
class Linear:
    """A trained classifier; `coefficients` are (terms, categories), `intercept` (categories,).

    Attributes:
        categories: Its categories, in the order of the scores' columns.
    """

    categories: tuple[str, ...]
    vectorizer: Any
    coefficients: NDArray[np.floating[Any]]
    intercept: NDArray[np.floating[Any]]

    def scores(self, texts: Sequence[str]) -> Scores:
        """Return each text's scores; they depend on that text alone, bit by bit."""
        return np.asarray(self.vectorizer.transform(texts) @ self.coefficients + self.intercept, dtype=np.float64)

    def to_files(self) -> dict[str, bytes]:
        """Return the content of its files by name; the coefficients as float32."""
        weights = {
            "coefficients": np.ascontiguousarray(self.coefficients, dtype=np.float32),
            "intercept": np.ascontiguousarray(self.intercept, dtype=np.float32),
            "idf": np.ascontiguousarray(self.vectorizer.idf_, dtype=np.float64),
        }
        terms = list(self.vectorizer.get_feature_names_out())
        return {TERMS_FILE: json.dumps(terms, ensure_ascii=False).encode(), WEIGHTS_FILE: save(weights)}


def fit(texts: Sequence[str], categories: Sequence[str]) -> Linear:
    """Train on texts with their categories.

    Raises:
        ValueError: no term occurs in two texts, or all are of one category.
    """
    from sklearn.svm import LinearSVC

    vectorizer = _vectorizer(min_df=2 if len(texts) >= _FEW else 1)
    machine = LinearSVC(random_state=0).fit(vectorizer.fit_transform(texts), categories)
    coefficients, intercept = machine.coef_.T, np.atleast_1d(machine.intercept_)
    if len(machine.classes_) == 2:  # scikit-learn has one boundary then, the second category's
        coefficients, intercept = np.hstack([-coefficients, coefficients]), np.hstack([-intercept, intercept])
    return Linear(tuple(map(str, machine.classes_)), vectorizer, coefficients, intercept)


def from_files(files: dict[str, bytes], categories: tuple[str, ...]) -> Linear:
    """Take back what `to_files` returned.

    Raises:
        ArtefactError: they are not a linear classifier's of these categories.
    """
    try:
        terms, weights = json.loads(files[TERMS_FILE]), load(files[WEIGHTS_FILE])
        idf, coefficients, intercept = (weights[name] for name in ("idf", "coefficients", "intercept"))
    except (KeyError, ValueError, SafetensorError) as error:
        raise ArtefactError(f"{WEIGHTS_FILE}, {TERMS_FILE}: not a linear classifier ({error!r})") from error
    if (len(terms), len(categories)) != coefficients.shape or idf.shape != (len(terms),):
        raise ArtefactError(f"{WEIGHTS_FILE}: not of {len(terms)} terms and {len(categories)} categories")
    vectorizer = _vectorizer(vocabulary={term: column for column, term in enumerate(terms)})
    vectorizer.idf_ = idf
    return Linear(categories, vectorizer, coefficients, intercept)


def read(directory: Path, categories: tuple[str, ...]) -> Linear:
    """Read the files of a model's directory, whose hashes were checked.

    Raises:
        ArtefactError: they are not a linear classifier's.
    """
    return from_files({name: (directory / name).read_bytes() for name in (TERMS_FILE, WEIGHTS_FILE)}, categories)


def _vectorizer(**how: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second to import

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **how)
