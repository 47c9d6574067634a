"""An ensemble weights a network and a linear classifier by their accuracy on articles that neither was trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from classifier.exceptions import ArtefactError
from classifier.model import ensemble, linear
from classifier.model.ensemble import EnsembleWeights, MultiLabelWeights
from classifier.model.sigmoid import logit, sigmoid


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


class TestMultiLabel:
    """Each category has a probability of its own, and all share the weights."""

    def two_views(self, articles=3000, categories=5, *, network=1.5, linear=0.7, offset=-1.0, seed=0):
        generator = np.random.default_rng(seed)
        logits, scores = (generator.normal(-1, 1.5, (articles, categories)) for _ in range(2))
        together = sigmoid(network * logits + linear * scores + offset)
        return sigmoid(logits).astype(np.float32), scores, generator.random(together.shape) < together

    def test_the_weights_that_were_put_in_are_found_as_scikit_learn_finds_them(self):
        from sklearn.linear_model import LogisticRegression

        probabilities, scores, truth = self.two_views(8000, seed=1)
        result = ensemble.fit_multi_label_weights(probabilities, scores, truth)
        assert (result.network, result.linear, result.offset) == pytest.approx((1.5, 0.7, -1.0), rel=0.06)
        inputs = np.column_stack([logit(probabilities).ravel(), scores.ravel()])
        reference = LogisticRegression(C=1e9).fit(inputs, truth.ravel())
        assert [result.network, result.linear] == pytest.approx(reference.coef_[0], rel=0.003)

    def test_the_ensemble_predicts_better_than_either_member(self):
        probabilities, scores, truth = self.two_views()
        weights = ensemble.fit_multi_label_weights(probabilities[:1000], scores[:1000], truth[:1000])
        result = weights.apply(probabilities, scores)[1000:]

        def loss(predicted):
            return -np.log(np.where(truth[1000:], predicted, 1 - predicted)).mean()

        assert loss(result) < min(loss(probabilities[1000:]), loss(sigmoid(scores[1000:]))) - 0.02

    def test_a_member_that_is_always_wrong_is_not_turned_round(self):
        probabilities, scores, truth = self.two_views()
        assert ensemble.fit_multi_label_weights(probabilities, -scores, truth).linear == 0

    def test_an_ensemble_without_an_error_does_not_become_certain(self):
        truth = np.arange(120).reshape(60, 2) % 3 == 0
        probabilities = np.where(truth, 0.9, 0.1).astype(np.float32)
        result = ensemble.fit_multi_label_weights(probabilities, np.where(truth, 1.0, -1.0), truth)
        assert 0.97 < result.apply(probabilities, np.where(truth, 1.0, -1.0)).max() < 0.9999

    def test_a_category_that_no_article_has_is_no_obstacle(self):
        probabilities, scores, truth = self.two_views(500)
        truth[:, 0] = False
        weights = ensemble.fit_multi_label_weights(probabilities, scores, truth)
        assert np.isfinite(weights.apply(probabilities, scores)).all()

    def test_certain_probabilities_stay_finite_and_what_is_not_a_number_stays_so(self):
        certain = np.array([[0.0, 1.0, np.nan]], dtype=np.float32)
        result = MultiLabelWeights(1.0, 2.0, 0.1).apply(certain, np.array([[3.0, -3.0, 0.0]]))
        assert result.dtype == np.float32
        assert result[0, 0] < 1e-30
        assert result[0, 1] > 0.999
        assert np.isnan(result[0, 2])

    def test_a_rows_bits_do_not_depend_on_other_rows(self):
        probabilities, scores, _ = self.two_views(300)
        weights = MultiLabelWeights(0.8, 1.1, -0.3)
        together = weights.apply(probabilities, scores)
        for size in (1, 7, 64):
            cuts = range(0, 300, size)
            parts = [weights.apply(probabilities[at : at + size], scores[at : at + size]) for at in cuts]
            np.testing.assert_array_equal(np.concatenate(parts), together)

    def test_the_manifest_brings_the_weights_back(self):
        classifier = linear.fit_linear_multi(["team goal", "bank rate"] * 15, [["a"], ["b"]] * 15, ("a", "b"))
        weights = MultiLabelWeights(0.8, 1.1, -0.3)
        manifest = json.loads(json.dumps(ensemble.to_manifest(ensemble.Ensemble(classifier, weights))))
        assert ensemble.from_manifest(manifest) == ("linear", weights)
