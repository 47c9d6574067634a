"""An ensemble weights a network and a linear classifier by their accuracy on articles that neither was trained on."""

from __future__ import annotations

import numpy as np
import pytest

from classifier.exceptions import ArtefactError
from classifier.model import ensemble
from classifier.model.ensemble import EnsembleWeights


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def two_views(articles=3000, categories=4, *, network=1.5, linear=0.7, seed=0):
    """Return a network's probabilities and linear scores, and a truth drawn from both with these weights."""
    generator = np.random.default_rng(seed)
    logits, scores = (generator.normal(0, 1, (articles, categories)) for _ in range(2))
    together = softmax(network * np.log(softmax(logits)) + linear * scores)
    truth = np.array([generator.choice(categories, p=row) for row in together])
    return softmax(logits).astype(np.float32), scores, truth


def accuracy(answers, truth):
    return (answers.argmax(axis=1) == truth).mean()


def test_the_weights_that_were_put_in_are_found():
    result = ensemble.fit_weights(*two_views(20000))
    assert (result.network, result.linear) == pytest.approx((1.5, 0.7), rel=0.06)


def test_the_ensemble_is_more_accurate_than_either_member():
    probabilities, scores, truth = two_views()
    result = ensemble.fit_weights(probabilities[:1000], scores[:1000], truth[:1000]).apply(probabilities, scores)
    assert accuracy(result[1000:], truth[1000:]) > 0.02 + max(
        accuracy(probabilities[1000:], truth[1000:]), accuracy(scores[1000:], truth[1000:])
    )


def test_one_that_knows_nothing_counts_for_nothing():
    probabilities, _, truth = two_views(linear=0)
    noise = np.random.default_rng(9).normal(0, 1, probabilities.shape)
    assert ensemble.fit_weights(probabilities, noise, truth).linear < 0.1


def test_one_that_is_always_wrong_is_not_turned_round():
    probabilities, scores, truth = two_views()
    assert ensemble.fit_weights(probabilities, -scores, truth).linear == 0


def test_answers_are_probabilities_also_where_the_network_excludes_a_category():
    certain = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    result = EnsembleWeights(1.0, 2.0).apply(certain, np.array([[3.0, -3.0], [-1.0, 1.0]]))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(result.argmax(axis=1), [1, 0])


def test_what_is_not_a_number_stays_so():
    broken = np.array([[np.nan, 0.5]], dtype=np.float32)
    assert np.isnan(EnsembleWeights(1.0, 1.0).apply(broken, np.zeros((1, 2)))).any()


def test_a_rows_bits_do_not_depend_on_other_rows():
    probabilities, scores, _ = two_views(300)
    weights = EnsembleWeights(0.8, 1.1)
    together = weights.apply(probabilities, scores)
    for size in (1, 7, 64):
        cuts = range(0, 300, size)
        parts = [weights.apply(probabilities[at : at + size], scores[at : at + size]) for at in cuts]
        np.testing.assert_array_equal(np.concatenate(parts), together)


def test_an_ensemble_without_an_error_on_a_few_articles_does_not_become_certain():
    probabilities = np.tile(np.array([[0.9, 0.1], [0.1, 0.9]], dtype=np.float32), (50, 1))
    scores = np.tile(np.array([[1.0, -1.0], [-1.0, 1.0]]), (50, 1))
    result = ensemble.fit_weights(probabilities, scores, np.tile([0, 1], 50)).apply(probabilities, scores)
    assert 0.97 < result.max() < 0.9999


def test_an_unknown_kind_of_ensemble_is_refused():
    assert ensemble.from_manifest({}) is None
    with pytest.raises(ArtefactError, match="ensemble with 'trees': unknown; another version"):
        ensemble.from_manifest({"ensemble": {"with": "trees"}})
