"""Train a linear classifier that predicts together with a network trained on the same articles."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.articles import AnnotatedArticle, Probabilities
from classifier.exceptions import TrainingDataError
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import Labeller
from classifier.model import ensemble, linear
from classifier.model.ensemble import Ensemble
from classifier.model.fine_tuned import FineTunedModel
from classifier.model.linear import LinearClassifier
from classifier.pipeline.training import calibration
from classifier.training.spooled_articles import SpooledArticles, label_sets_of

log = logging.getLogger(__name__)


def fit_ensemble(
    classifier: FineTunedClassifier,
    train: Sequence[AnnotatedArticle],
    validation: Sequence[AnnotatedArticle],
    kind: str = "linear",
) -> Ensemble | None:
    """Train a linear classifier, and fit both weights on the validation articles with the engine that would label.

    Returns:
        The ensemble, whose linear classifier is fitted to the train articles alone. If there is no term to learn, or
        too few validation articles, None after a warning.
    """
    started_at = time.monotonic()
    model = classifier.model
    texts_of = model.tokenization.texts
    try:
        linear_classifier = _fit_linear(model, kind, train)
    except ValueError as error:  # scikit-learn has no other exception for an empty vocabulary
        log.warning("no ensemble: the linear classifier has no term to learn (%s); the network predicts alone", error)
        return None
    outputs = _read_outputs(classifier.labeller(), validation)
    if len(outputs.rows) < ensemble.MIN_ARTICLES:
        log.warning(
            "no ensemble: it needs at least %d validation articles; the network predicts alone", ensemble.MIN_ARTICLES
        )
        return None
    scores = linear_classifier.scores(texts_of(validation))[outputs.rows]
    fit_weights = ensemble.fit_multi_label_weights if model.kind == "multi" else ensemble.fit_weights
    fitted = Ensemble(linear_classifier, fit_weights(outputs.probabilities, scores, outputs.truth))
    log.info("%s; fitted in %.1f s", summarize(fitted), time.monotonic() - started_at)
    return fitted


@dataclass(frozen=True, slots=True)
class _Outputs:
    """A network's probabilities for the articles of its categories, their targets, and their positions among all."""

    probabilities: Probabilities
    truth: NDArray[Any]
    rows: NDArray[np.int64]


def _read_outputs(labeller: Labeller, articles: Sequence[AnnotatedArticle]) -> _Outputs:
    """Return the outputs for the articles of the labeller's categories; of a multi-label model, for all articles."""
    if labeller.kind == "multi":
        probabilities, labels = calibration.label_outputs_of(labeller, articles)
        return _Outputs(probabilities, labels, np.arange(len(articles)))
    probabilities, truth = calibration.outputs_of(labeller, articles)
    rows = np.flatnonzero(truth >= 0)
    return _Outputs(probabilities[rows], truth[rows], rows)


def refit_with_validation(
    fitted: Ensemble,
    model: FineTunedModel,
    train: Sequence[AnnotatedArticle],
    validation: Sequence[AnnotatedArticle],
) -> Ensemble:
    """Return the ensemble with its linear classifier fitted to the validation articles too, as the baseline is.

    It is for labelling. Everything chosen on the validation split is chosen with an ensemble that has not seen it.
    """
    return replace(fitted, linear=_fit_linear(model, fitted.linear.kind, train, validation))


def refit_on_train(labeller: Labeller, train: Sequence[AnnotatedArticle]) -> Labeller:
    """Return a labeller whose linear classifier is fitted to the train articles alone, for choices on validation.

    Raises:
        TrainingDataError: the train split has no article of one of the model's categories, or no term to learn.
    """
    if labeller.ensemble is None:
        return labeller
    label_sets = label_sets_of(train)
    if missing := sorted(set(labeller.categories) - {*chain.from_iterable(label_sets)}):
        raise TrainingDataError(
            f"the train split has no annotated article of {', '.join(missing)}, which the model's linear classifier "
            "predicts; annotate some, or train a new model"
        )
    articles = train
    if labeller.kind == "single":
        rows = [row for row, (name,) in enumerate(label_sets) if name in labeller.categories]
        articles = train.take(rows) if isinstance(train, SpooledArticles) else [train[row] for row in rows]
    try:
        classifier = _fit_linear(labeller, labeller.ensemble.linear.kind, articles)
    except ValueError as error:  # scikit-learn has no other exception for an empty vocabulary
        raise TrainingDataError(
            f"the train split's articles have no term for the model's linear classifier to learn: {error}"
        ) from error
    return replace(labeller, ensemble=replace(labeller.ensemble, linear=classifier))


def _fit_linear(model: FineTunedModel | Labeller, kind: str, *parts: Sequence[AnnotatedArticle]) -> LinearClassifier:
    """Train a linear classifier of a kind for the texts and categories of a model; scikit-learn raises ValueError."""
    texts = model.tokenization.texts(*parts)
    label_sets = [names for articles in parts for names in label_sets_of(articles)]
    if model.kind == "multi":
        return linear.fit_linear_multi(texts, label_sets, model.categories, kind)
    return linear.fit_linear(texts, [category for (category,) in label_sets], kind)


def summarize(fitted: Ensemble | None) -> str:
    """Return one line about what predicts."""
    if fitted is None:
        return "the network alone"
    weights, terms = fitted.weights, fitted.linear.coefficients.shape[0]
    return f"network {weights.network:.2f}, {fitted.linear.kind} {weights.linear:.2f}, {terms:,} terms"
