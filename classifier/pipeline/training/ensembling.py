"""Train a linear classifier that predicts together with a network trained on the same articles."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from classifier.articles import AnnotatedArticle, Texts
from classifier.exceptions import TrainingDataError
from classifier.inference.fine_tuned_classifier import FineTunedClassifier
from classifier.inference.labeller import Labeller
from classifier.model import ensemble, linear
from classifier.model.ensemble import Ensemble
from classifier.model.linear import LinearClassifier
from classifier.pipeline.training import calibration
from classifier.training.spooled_articles import SpooledArticles, categories_of

log = logging.getLogger(__name__)

TextsOf = Callable[..., Texts]
"""Returns what the model reads of sequences of articles: `Tokenization.texts`."""


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
    texts_of = classifier.model.tokenization.texts
    try:
        linear_classifier = _fit_linear(kind, texts_of, train)
    except ValueError as error:  # scikit-learn has no other exception for an empty vocabulary
        log.warning("no ensemble: the linear classifier has no term to learn (%s); the network predicts alone", error)
        return None
    probabilities, truth = calibration.outputs_of(classifier.labeller(), validation)
    is_known = truth >= 0
    if is_known.sum() < ensemble.MIN_ARTICLES:
        log.warning(
            "no ensemble: it needs at least %d validation articles; the network predicts alone", ensemble.MIN_ARTICLES
        )
        return None
    scores = linear_classifier.scores(texts_of(validation))
    weights = ensemble.fit_weights(probabilities[is_known], scores[is_known], truth[is_known])
    fitted = Ensemble(linear_classifier, weights)
    log.info("%s; fitted in %.1f s", summarize(fitted), time.monotonic() - started_at)
    return fitted


def refit_with_validation(
    fitted: Ensemble, texts_of: TextsOf, train: Sequence[AnnotatedArticle], validation: Sequence[AnnotatedArticle]
) -> Ensemble:
    """Return the ensemble with its linear classifier fitted to the validation articles too, as the baseline is.

    It is for labelling. Everything chosen on the validation split is chosen with an ensemble that has not seen it.
    """
    return replace(fitted, linear=_fit_linear(fitted.linear.kind, texts_of, train, validation))


def refit_on_train(labeller: Labeller, train: Sequence[AnnotatedArticle]) -> Labeller:
    """Return a labeller whose linear classifier is fitted to the train articles alone, for choices on validation.

    Raises:
        TrainingDataError: the train split has no article of one of the model's categories, or no term to learn.
    """
    if labeller.ensemble is None:
        return labeller
    names = categories_of(train)
    if missing := sorted(set(labeller.categories) - {*names}):
        raise TrainingDataError(
            f"the train split has no annotated article of {', '.join(missing)}, which the model's linear classifier "
            "predicts; annotate some, or train a new model"
        )
    rows = [row for row, name in enumerate(names) if name in labeller.categories]
    articles = train.take(rows) if isinstance(train, SpooledArticles) else [train[row] for row in rows]
    try:
        classifier = _fit_linear(labeller.ensemble.linear.kind, labeller.tokenization.texts, articles)
    except ValueError as error:  # scikit-learn has no other exception for an empty vocabulary
        raise TrainingDataError(
            f"the train split's articles have no term for the model's linear classifier to learn: {error}"
        ) from error
    return replace(labeller, ensemble=replace(labeller.ensemble, linear=classifier))


def _fit_linear(kind: str, texts_of: TextsOf, *parts: Sequence[AnnotatedArticle]) -> LinearClassifier:
    categories = [category for articles in parts for category in categories_of(articles)]
    return linear.fit_linear(texts_of(*parts), categories, kind)


def summarize(fitted: Ensemble | None) -> str:
    """Return one line about what predicts."""
    if fitted is None:
        return "the network alone"
    weights, terms = fitted.weights, fitted.linear.coefficients.shape[0]
    return f"network {weights.network:.2f}, {fitted.linear.kind} {weights.linear:.2f}, {terms:,} terms"
