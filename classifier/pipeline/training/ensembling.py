"""Have a linear classifier answer beside a network that was trained on the same articles."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
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


def fit_ensemble(
    classifier: FineTunedClassifier,
    train: Sequence[AnnotatedArticle],
    validation: Sequence[AnnotatedArticle],
    kind: str = "linear",
) -> Ensemble | None:
    """Train a linear classifier, and weigh the two on the validation articles with the engine that would label.

    Returns:
        The ensemble, whose linear classifier knows the train articles alone; None, and a warning why, where there is
        nothing to learn or to weigh the two on.
    """
    started = time.monotonic()
    try:
        counting = _learnt(kind, train)
    except ValueError as error:  # scikit-learn has no other for an empty vocabulary
        log.warning("the network answers alone, a linear classifier finds nothing to learn: %s", error)
        return None
    probabilities, truth = calibration.outputs_of(classifier.labeller(), validation)
    known = truth >= 0
    if known.sum() < ensemble.MIN_ARTICLES:
        log.warning("the network answers alone: an ensemble needs %d validation articles", ensemble.MIN_ARTICLES)
        return None
    scores = counting.scores(Texts(validation))
    weights = ensemble.fit_weights(probabilities[known], scores[known], truth[known])
    log.info("%s; the linear classifier took %.1f s", line(Ensemble(counting, weights)), time.monotonic() - started)
    return Ensemble(counting, weights)


def refit_temperature(
    chosen: Ensemble, train: Sequence[AnnotatedArticle], validation: Sequence[AnnotatedArticle]
) -> Ensemble:
    """Return the ensemble with a linear classifier fitted to the validation articles too, as the baseline is.

    It is for labelling. What is chosen on the validation split is chosen with the one that has not seen it.
    """
    return replace(chosen, linear=_learnt(chosen.linear.kind, train, validation))


def held_out(labeller: Labeller, train: Sequence[AnnotatedArticle]) -> Labeller:
    """Return a labeller whose linear classifier has learnt from the train articles alone, to choose on validation.

    Raises:
        TrainingDataError: the train split has no article any more of one of the model's categories, or no term twice.
    """
    if labeller.ensemble is None:
        return labeller
    names = categories_of(train)
    rows = [row for row, name in enumerate(names) if name in labeller.categories]
    known = train.take(rows) if isinstance(train, SpooledArticles) else [train[row] for row in rows]
    if gone := sorted(set(labeller.categories) - {*names}):
        raise TrainingDataError(
            f"the train split has no annotated article of {', '.join(gone)}, which the model's linear classifier knows"
        )
    try:
        return replace(
            labeller, ensemble=replace(labeller.ensemble, linear=_learnt(labeller.ensemble.linear.kind, known))
        )
    except ValueError as error:  # as above
        raise TrainingDataError(
            f"the train split's articles leave the model's linear classifier nothing to learn: {error}"
        ) from error


def _learnt(kind: str, *parts: Sequence[AnnotatedArticle]) -> LinearClassifier:
    return linear.fit_linear(
        Texts(*parts), [category for articles in parts for category in categories_of(articles)], kind
    )


def line(chosen: Ensemble | None) -> str:
    """Say in a line what answers."""
    if chosen is None:
        return "the network alone"
    weights, terms = chosen.weights, chosen.linear.coefficients.shape[0]
    return f"network {weights.network:.2f}, {chosen.linear.kind} {weights.linear:.2f}, of {terms:,} terms"
