"""Probabilities of annotated articles by the baseline, from classifiers that have not seen the article's annotation.

The articles are divided into folds, and a linear classifier of the other folds predicts each of them. Near-duplicates
are in one fold, so that a copy does not vouch for an annotation. Further articles, of a held-out split, are predicted
by the classifiers of all folds, whose scores are averaged. The texts are counted once for all folds: the weights of
terms do not depend on annotations.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import LabelMatrix, Probabilities, TaskKind
from classifier.model import linear, targets
from classifier.model.linear import Scores, TextSource
from classifier.model.sigmoid import sigmoid
from classifier.model.softmax import softmax
from classifier.model.targets import Targets
from classifier.model.temperature_scaling import fit_temperature

log = logging.getLogger(__name__)

FOLDS = 5


@dataclass(frozen=True, slots=True)
class AnnotatedTexts:
    """Texts with their annotations, to be predicted out of fold; those at and after `trained` are only predicted.

    `groups` are the clusters of near-duplicates of the first ones, shape (trained,).
    """

    texts: Sequence[TextSource]
    label_sets: Sequence[tuple[str, ...]]
    groups: NDArray[np.int64]
    kind: TaskKind

    @property
    def trained(self) -> int:
        """The number of articles that are divided into folds."""
        return len(self.groups)


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Out-of-fold probabilities.

    Attributes:
        categories: All annotated categories, in alphabetical order.
        probabilities: Shape (articles, categories).
        learned: Whether the classifier of an article had articles with the category, and without it, to learn from.
        annotated: The annotations.
        vectors: The weighted counts of terms, a sparse array of shape (articles, terms), whose rows have length 1.
    """

    categories: tuple[str, ...]
    probabilities: Probabilities
    learned: LabelMatrix
    annotated: Targets
    vectors: Any


def predict_out_of_fold(data: AnnotatedTexts) -> OutOfFold | None:
    """Return the out-of-fold probabilities of the articles, or None if no term occurs in two texts."""
    categories = tuple(sorted({*chain.from_iterable(data.label_sets)}))
    annotated = targets.encode_targets(data.label_sets, categories, data.kind)
    try:
        vectors = _count(data.texts, max(len(categories), 1))
    except ValueError as error:  # scikit-learn has no other exception for an empty vocabulary
        log.warning("annotations cannot be assessed: %s", error)
        return None
    scores, learned = _cross_fit(vectors, annotated, data, len(categories))
    return OutOfFold(categories, _calibrate(scores, annotated, learned, data), learned, annotated, vectors)


def _count(texts: Sequence[TextSource], categories: int) -> Any:
    """Return the weighted counts of all texts; the first texts give the terms and their weights."""
    from scipy.sparse import vstack

    _, (vectorizer,), counts = linear.count_terms(texts[0], categories)
    return vstack([counts, *(vectorizer.transform(more) for more in texts[1:])], format="csr")


def _cross_fit(vectors: Any, annotated: Targets, data: AnnotatedTexts, size: int) -> tuple[Scores, LabelMatrix]:
    """Return the scores, and whether each was learned, shape (articles, categories)."""
    trained = data.trained
    scores = np.zeros((vectors.shape[0], size))
    learned = np.ones((vectors.shape[0], size), dtype=np.bool_)
    folds = list(_folds(data.groups))
    for fold in folds:
        seen = np.setdiff1d(np.arange(trained), fold)
        predicted = np.concatenate([fold, np.arange(trained, vectors.shape[0])])
        of_fold, was_learned = _fit_and_score(vectors, annotated, seen, predicted, size)
        scores[fold] = of_fold[: len(fold)]
        scores[trained:] += of_fold[len(fold) :] / len(folds)
        learned[predicted] &= was_learned
    if not folds:
        learned[:] = False
    return scores, learned


def _folds(groups: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the articles of each fold; none if they are fewer than two groups."""
    names, of_article = np.unique(groups, return_inverse=True)
    number = min(FOLDS, len(names))
    if number < 2:
        return
    fold_of_group = np.random.default_rng(0).permutation(len(names)) % number
    for fold in range(number):
        yield np.flatnonzero(fold_of_group[of_article] == fold)


def _fit_and_score(
    vectors: Any, annotated: Targets, seen: NDArray[np.int64], predicted: NDArray[np.int64], size: int
) -> tuple[Scores, NDArray[np.bool_]]:
    """Train on the seen articles; return the scores of the predicted ones, and which categories were learned."""
    scores, learned = np.full((len(predicted), size), -np.inf), np.zeros(size, dtype=np.bool_)
    of_seen = annotated[seen]
    if annotated.ndim == 2:
        counts = of_seen.sum(axis=0)
        columns = np.flatnonzero((counts > 0) & (counts < len(seen)))
    else:
        columns = np.unique(of_seen)
    if not len(columns) or (annotated.ndim == 1 and len(columns) < 2):
        return scores, learned
    if annotated.ndim == 2:
        truths: Iterator[NDArray[Any]] = (of_seen[:, column] for column in columns)
        coefficients, intercept = linear.fit_decisions(vectors[seen], truths)
    else:
        coefficients, intercept = linear.fit_categories(vectors[seen], of_seen)
    product = vectors[predicted] @ coefficients
    scores[:, columns] = (product.toarray() if hasattr(product, "toarray") else product) + intercept
    learned[columns] = True
    return scores, learned


def _calibrate(scores: Scores, annotated: Targets, learned: LabelMatrix, data: AnnotatedTexts) -> Probabilities:
    """Return probabilities, with the temperature that suits the annotations of the articles in folds."""
    own = np.arange(data.trained)
    if data.kind == "multi":
        columns = np.flatnonzero(learned[own].all(axis=0))
        if not len(columns):
            return np.asarray(sigmoid(scores), dtype=np.float32)
        cells = np.ix_(own, columns)
        temperature = fit_temperature(sigmoid(scores[cells]).astype(np.float32), annotated[cells], kind="multi")
        return np.asarray(sigmoid(scores / temperature), dtype=np.float32)
    usable = own[learned[own, annotated[own]]]
    temperature = fit_temperature(_softmax(scores[usable]).astype(np.float32), annotated[usable])
    return np.asarray(_softmax(scores / temperature), dtype=np.float32)


def _softmax(scores: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the softmax of each row; zeros for a row without a learned category."""
    with_scores = np.isfinite(scores).any(axis=1)
    probabilities = np.zeros(scores.shape)
    if with_scores.any():
        probabilities[with_scores] = softmax(scores[with_scores])
    return probabilities


def nearest(vectors: Any, rows: Sequence[int], among: int, number: int) -> list[list[tuple[int, float]]]:
    """Return the nearest of the first `among` articles to each of the rows, with their cosine, the nearest first.

    An article is not its own neighbour, and an article without a common term is none.
    """
    neighbours = []
    pool = vectors[:among].T.tocsr()
    for row in rows:
        cosines = (vectors[[row]] @ pool).toarray().ravel()
        if row < among:
            cosines[row] = 0
        order = np.argsort(-cosines, kind="stable")[:number]
        neighbours.append([(int(each), float(cosines[each])) for each in order if cosines[each] > 0])
    return neighbours
