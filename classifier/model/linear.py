"""A linear classifier on TF-IDF: the baseline of every evaluation, and a member of an ensemble with a network.

It uses word 1- and 2-grams, sublinear term frequency, at least two documents per term, and a support vector machine for
each category against all others (scikit-learn's LinearSVC). It trains in seconds. Its files are JSON and safetensors.

For a multi-label task, each category has a linear classifier of its own. Logistic regressions instead of support vector
machines were tried on Reuters-21578: they took four times as long, and had a lower micro- and macro-F1 for any penalty.

Another kind, "style", is for a text's author rather than its topic. It counts words and punctuation with their case,
character n-grams, and character n-grams of a distorted text that keeps only frequent words, so that the topic matters
little (text distortion, Stamatatos, 2017).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from classifier.articles import Probabilities
from classifier.exceptions import ArtefactError
from classifier.model import term_positions, term_vectors
from classifier.model.sigmoid import sigmoid
from classifier.model.term_positions import Locator
from classifier.model.term_vectors import Analyzer, TermVectorizer
from classifier.model.text_slices import slice_texts

TERMS_FILE = "linear.terms.json"
WEIGHTS_FILE = "linear.safetensors"

Scores = NDArray[np.float64]
"""Signed distances from each category's boundary, shape (texts, categories)."""

KINDS = ("linear", "style")
"""The first is for the topic of a text, the second for its author."""

MAX_DENSE_COEFFICIENTS = 64_000_000
"""Coefficients, terms by categories, up to which the array is dense and all categories are trained together.

As float32 they are 256 MB.
"""

MAX_COEFFICIENTS = 200_000_000
"""Largest number of coefficients. If there were more, only the most frequent terms are used."""

MAX_SCORE_CHANGE = 0.01
"""Largest change of a score by dropping small coefficients; the distance between two boundaries is about 1."""

_SLICE_CHARACTERS = 8_000_000  # of the texts that are counted together

_MIN_TEXTS_FOR_MIN_DF = 20
"""Texts from which on a term must occur in two of them. In fewer texts, too few terms occur twice."""

_FREQUENT_WORDS = 500
"""Number of words that a distorted text keeps."""

_WORD_OF_TWO = r"(?u)\b\w\w+\b"  # scikit-learn's default
_WORD_OR_MARK = r"\w+|[^\w\s]"
_WORD = re.compile(r"[^\W\d_]+|\d+")


class TextSource(Protocol):
    """Texts that can be iterated over several times, and need not be in memory."""

    def __len__(self) -> int:
        """Return the number of texts."""

    def __iter__(self) -> Iterator[str]:
        """Return an iterator over all texts."""


@dataclass(frozen=True, slots=True)
class LinearClassifier:
    """A trained classifier; `coefficients` are (terms, categories), dense or a sparse array, `intercept` (categories,).

    Attributes:
        categories: The categories, in the order of the scores' columns.
        kind: One of `KINDS`.
        frequent: The words that distorted texts keep; for the kind "style".
        vectorizers: The kind's vectorizers, in the order of the terms. Each returns vectors of length 1.
    """

    categories: tuple[str, ...]
    kind: str
    frequent: tuple[str, ...]
    vectorizers: tuple[Any, ...]
    coefficients: Any
    intercept: NDArray[np.floating[Any]]

    def scores(self, texts: Iterable[str]) -> Scores:
        """Return each text's scores; their bits depend on that text alone."""
        return np.concatenate([np.empty((0, len(self.categories))), *self._scores(texts)])

    def predict(self, texts: Iterable[str]) -> list[str]:
        """Return each text's category with the highest score."""
        return [self.categories[column] for scores in self._scores(texts) for column in scores.argmax(axis=1)]

    def probabilities(self, texts: Iterable[str]) -> Probabilities:
        """Return each category's probability in each text, for a classifier of a multi-label task.

        It is the sigmoid of the score, which is not calibrated: thresholds are for this classifier's values alone.
        """
        return np.asarray(sigmoid(self.scores(texts)), dtype=np.float32)

    def _scores(self, texts: Iterable[str]) -> Iterator[Scores]:
        """Yield the scores of one slice of texts after the other."""
        for slice_of_texts in slice_texts(texts, _SLICE_CHARACTERS):
            counts = _side_by_side([vectorizer.transform(slice_of_texts) for vectorizer in self.vectorizers])
            scores = counts @ self.coefficients
            dense = scores.toarray() if hasattr(scores, "toarray") else scores
            yield np.asarray(dense + self.intercept, dtype=np.float64)

    def to_files(self) -> dict[str, bytes]:
        """Return the content of its files by name; coefficients are float32, and sparse if most are zero."""
        weights = {
            **_pack_coefficients(self.coefficients),
            "intercept": np.ascontiguousarray(self.intercept, dtype=np.float32),
            "idf": np.concatenate([vectorizer.idf_ for vectorizer in self.vectorizers]).astype(np.float64),
        }
        terms: Any = [list(vectorizer.get_feature_names_out()) for vectorizer in self.vectorizers]
        content = terms[0] if self.kind == "linear" else {"frequent": self.frequent, "terms": terms}
        return {TERMS_FILE: json.dumps(content, ensure_ascii=False).encode(), WEIGHTS_FILE: save(weights)}


def fit_linear(texts: TextSource, categories: Sequence[str], kind: str = "linear") -> LinearClassifier:
    """Train a classifier on texts with their categories.

    With more than `MAX_DENSE_COEFFICIENTS` coefficients, one category is trained after the other and its coefficients
    are kept sparse, because a dense array of all categories would take gigabytes.

    Raises:
        ValueError: no term occurs in two texts, or all texts have the same category.
    """
    names = np.unique(np.asarray(categories))
    frequent, vectorizers, counts = count_terms(texts, len(names), kind)
    coefficients, intercept = fit_categories(counts, np.asarray(categories))
    return LinearClassifier(tuple(map(str, names)), kind, frequent, vectorizers, coefficients, intercept)


def fit_linear_multi(
    texts: TextSource, label_sets: Sequence[Collection[str]], categories: Sequence[str], kind: str = "linear"
) -> LinearClassifier:
    """Train a classifier of a multi-label task: one linear classifier for each of the categories, in their order.

    A label that is not among the categories is ignored. A category that every text or no text has cannot be learned:
    its score is the logarithm of its odds. The dtype of the coefficients is that of the files, so the scores of a
    classifier that was read have the same bits.

    Raises:
        ValueError: no term occurs in two texts.
    """
    frequent, vectorizers, counts = count_terms(texts, len(categories), kind)
    truths = (np.array([name in labels for labels in label_sets]) for name in categories)
    sparse, intercept = fit_decisions(counts, truths)
    coefficients = sparse.toarray() if np.prod(sparse.shape) <= MAX_DENSE_COEFFICIENTS else sparse
    return LinearClassifier(tuple(categories), kind, frequent, vectorizers, coefficients, intercept)


def count_terms(
    texts: TextSource, categories: int, kind: str = "linear"
) -> tuple[tuple[str, ...], tuple[Any, ...], Any]:
    """Return the frequent words, the fitted vectorizers and the weighted counts, shape (texts, terms).

    Raises:
        ValueError: no term occurs in two texts.
    """
    frequent = _most_frequent(texts) if kind == "style" else ()
    max_terms = max(1, MAX_COEFFICIENTS // categories // (1 if kind == "linear" else 3))
    vectorizers = _vectorizers(
        kind, frequent, min_df=2 if len(texts) >= _MIN_TEXTS_FOR_MIN_DF else 1, max_features=max_terms
    )
    return frequent, vectorizers, _side_by_side([vectorizer.fit_transform(texts) for vectorizer in vectorizers])


def fit_categories(counts: Any, categories: NDArray[Any]) -> tuple[Any, Any]:
    """Return the coefficients and intercepts of the categories in ascending order, each against all others.

    Raises:
        ValueError: all texts have the same category.
    """
    number = len(np.unique(categories))
    together = number * counts.shape[1] <= MAX_DENSE_COEFFICIENTS or number < 3
    return (_all_at_once if together else _one_by_one)(counts, categories)


def _all_at_once(counts: Any, categories: NDArray[Any]) -> tuple[Any, Any]:
    from sklearn.svm import LinearSVC

    machine = LinearSVC(random_state=0).fit(counts, categories)
    coefficients, intercept = machine.coef_.T, np.atleast_1d(machine.intercept_)
    if len(machine.classes_) == 2:  # scikit-learn then has only the second category's boundary
        return np.hstack([-coefficients, coefficients]), np.hstack([-intercept, intercept])
    return coefficients, intercept


def _one_by_one(counts: Any, categories: NDArray[Any]) -> tuple[Any, Any]:
    """Train each category against all others, which solves the same problems as all at once."""
    return fit_decisions(counts, (categories == name for name in np.unique(categories)))


def fit_decisions(counts: Any, truths: Iterable[NDArray[np.bool_]]) -> tuple[Any, Any]:
    """Train one linear classifier after the other; each truth says which texts have its category.

    Returns:
        A sparse array of coefficients, shape (terms, categories), and the intercepts, both as float32.
    """
    from scipy.sparse import csc_array

    rows, values, intercept, ends = [], [], [], [0]
    for truth in truths:
        coefficients, constant = _fit_machine(counts, truth)
        kept = _large_coefficients(coefficients)
        rows.append(kept.astype(np.int32))
        values.append(coefficients[kept].astype(np.float32))
        intercept.append(constant)
        ends.append(ends[-1] + len(kept))
    data, indices = np.concatenate(values), np.concatenate(rows)
    del values, rows  # frees memory before the next copy
    columns = csc_array((data, indices, np.array(ends)), shape=(counts.shape[1], len(intercept)))
    return columns.tocsr(), np.array(intercept, dtype=np.float32)  # the dtype of the files


def _fit_machine(counts: Any, truth: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    from sklearn.svm import LinearSVC

    positive = int(truth.sum())
    if positive in {0, len(truth)}:
        return np.zeros(counts.shape[1]), float(np.log((positive + 0.5) / (len(truth) - positive + 0.5)))
    machine = LinearSVC(random_state=0).fit(counts, truth)
    return machine.coef_[0], float(machine.intercept_[0])


def _large_coefficients(coefficients: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the positions of all coefficients but the smallest, whose norm is at most `MAX_SCORE_CHANGE`.

    A text's counts are a vector of length 1 (three such for the kind "style"), so no score changes by more than that.
    """
    order = np.argsort(np.abs(coefficients))
    lengths = np.sqrt(np.cumsum(coefficients[order] ** 2))
    return np.sort(order[np.searchsorted(lengths, MAX_SCORE_CHANGE, side="right") :])


def from_files(files: dict[str, bytes], categories: tuple[str, ...], kind: str = "linear") -> LinearClassifier:
    """Return the classifier that `to_files` wrote.

    Raises:
        ArtefactError: the files are not those of a linear classifier of these categories.
    """
    try:
        content, weights = json.loads(files[TERMS_FILE]), load(files[WEIGHTS_FILE])
        frequent, terms = ((), [content]) if kind == "linear" else (tuple(content["frequent"]), content["terms"])
        idf, intercept = (weights[name] for name in ("idf", "intercept"))
        ends = np.cumsum([len(vocabulary) for vocabulary in terms])
        coefficients = _unpack_coefficients(weights, (int(ends[-1]), len(categories)))
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ArtefactError(f"{WEIGHTS_FILE}, {TERMS_FILE}: not a linear classifier ({error!r})") from error
    if (ends[-1], len(categories)) != coefficients.shape or idf.shape != (ends[-1],):
        raise ArtefactError(f"{WEIGHTS_FILE}: must have {ends[-1]} terms and {len(categories)} categories")
    vectorizers = tuple(
        TermVectorizer(analyze, {term: column for column, term in enumerate(vocabulary)}, idf_of_terms)
        for analyze, vocabulary, idf_of_terms in zip(
            _analyzers(kind, frequent), terms, np.split(idf, ends[:-1]), strict=True
        )
    )
    return LinearClassifier(categories, kind, frequent, vectorizers, coefficients, intercept)


def _pack_coefficients(coefficients: Any) -> dict[str, NDArray[Any]]:
    """Return the arrays to write: a sparse array by rows if that is smaller, else a dense one."""
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


def _unpack_coefficients(weights: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> Any:
    """Return the coefficients, dense up to `MAX_DENSE_COEFFICIENTS`: this is faster, and gives the same bits."""
    from scipy.sparse import csr_array

    if "indptr" not in weights:
        return weights["coefficients"]
    sparse = csr_array(tuple(weights[name] for name in ("data", "indices", "indptr")), shape=shape)
    sparse.check_format(full_check=True)
    return sparse.toarray() if np.prod(shape) <= MAX_DENSE_COEFFICIENTS else sparse


def read_linear(directory: Path, categories: tuple[str, ...], kind: str = "linear") -> LinearClassifier:
    """Read the files of a model's directory; the caller has verified their hashes.

    Raises:
        ArtefactError: the files are not those of a linear classifier.
    """
    return from_files({name: (directory / name).read_bytes() for name in (TERMS_FILE, WEIGHTS_FILE)}, categories, kind)


def distort(text: str, frequent: frozenset[str]) -> str:
    """Return the text with `*` for each letter of a word that is not frequent, and `#` for each digit."""

    def mask(match: re.Match[str]) -> str:
        word = match[0]
        return "#" * len(word) if word.isdigit() else word if word.lower() in frequent else "*" * len(word)

    return _WORD.sub(mask, text)


def _most_frequent(texts: Iterable[str]) -> tuple[str, ...]:
    counts = Counter(word for text in texts for word in _WORD.findall(text.lower()) if not word.isdigit())
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:_FREQUENT_WORDS])


def _vectorizers(kind: str, frequent: Sequence[str], **options: Any) -> tuple[Any, ...]:
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second to import

    vectorizer = partial(TfidfVectorizer, sublinear_tf=True, **options)
    if kind == "linear":
        return (vectorizer(ngram_range=(1, 2), token_pattern=_WORD_OF_TWO),)
    return (
        vectorizer(ngram_range=(1, 2), token_pattern=_WORD_OR_MARK, lowercase=False),
        vectorizer(ngram_range=(2, 4), analyzer="char", lowercase=False),
        vectorizer(ngram_range=(3, 5), analyzer="char", preprocessor=partial(distort, frequent=frozenset(frequent))),
    )


def _analyzers(kind: str, frequent: Sequence[str]) -> tuple[Analyzer, ...]:
    """Return what the vectorizers of `_vectorizers` count."""
    if kind == "linear":
        return (term_vectors.words(_WORD_OF_TWO, lowercase=True),)
    return (
        term_vectors.words(_WORD_OR_MARK, lowercase=False),
        term_vectors.characters(2, 4),
        term_vectors.characters(3, 5, partial(distort, frequent=frozenset(frequent))),
    )


def locators(classifier: LinearClassifier) -> tuple[Locator, ...]:
    """Return functions that locate, in a text, the terms that each of the classifier's vectorizers counts."""
    if classifier.kind == "linear":
        return (term_positions.words(_WORD_OF_TWO, lowercase=True),)
    return (
        term_positions.words(_WORD_OR_MARK, lowercase=False),
        term_positions.characters(2, 4),
        term_positions.characters(3, 5, partial(distort, frequent=frozenset(classifier.frequent))),
    )


def _side_by_side(counts: list[Any]) -> Any:
    from scipy.sparse import hstack

    return counts[0] if len(counts) == 1 else hstack(counts, format="csr")
